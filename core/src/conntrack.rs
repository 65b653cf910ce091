//! Ending connections that the kernel knows (conntrack), by ctnetlink.
//!
//! A filter lets pass what belongs to a known connection without asking its lists. So when an address gets another owner, the
//! connections of the last one have to end.

mod addresses;
mod entry;

use std::net::IpAddr;

pub use addresses::Addresses;

use self::entry::{Direction, Entry, all, of_address};
use crate::error::{Error, Result};
use crate::kind::{Message, Protocol};
use crate::netns::Namespace;

/// How many connections the namespace has. The file is there where conntrack is.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// Up to so many addresses the kernel is asked for each of them, and for more for all connections: asked for one, it looks
/// through its whole table, which costs it a small part of what it costs to tell what is there.
const FEW: usize = 4;

/// Ends the connections in `namespace` that have one of `addresses` as their source, or answer from it, whatever has
/// translated the other way. Returns how many there were.
///
/// Equivalent: `conntrack -D -s ADDRESS; conntrack -D -r ADDRESS`.
///
/// # Errors
/// `Unsupported` where the kernel has connections and no ctnetlink; what the kernel refuses otherwise.
pub fn end(namespace: &mut Namespace, addresses: &Addresses) -> Result<usize> {
    if addresses.is_empty() || !has_any(namespace)? {
        return Ok(0);
    }
    let mut deletions = connections(namespace, addresses)?;
    let refused = namespace.exchange_each(Protocol::Netfilter, &mut deletions)?;
    // It has ended by itself, or was found by both of its sources.
    let gone = refused.iter().filter(|(_, refusal)| refusal.errno == libc::ENOENT).count();
    match refused.into_iter().find(|(_, refusal)| refusal.errno != libc::ENOENT) {
        None => Ok(deletions.len() - gone),
        Some((_, refusal)) => Err(refusal.of(format!("end a connection in namespace {}", namespace.netns()))),
    }
}

/// Whether there is any connection. Where there is no conntrack nothing is asked, which would have the kernel look for a module.
fn has_any(namespace: &Namespace) -> Result<bool> {
    let [count] = namespace.texts_of([COUNT])?;
    Ok(count.is_some_and(|count| count.trim() != "0"))
}

/// Messages that end the connections of `addresses`.
fn connections(namespace: &mut Namespace, addresses: &Addresses) -> Result<Vec<Message>> {
    let mut found = Vec::new();
    let mut note = |entry: Entry<'_>| {
        if entry.sources().any(|source| addresses.contains(source)) {
            found.push(entry.deletion());
        }
    };
    for family in [libc::AF_INET, libc::AF_INET6] {
        if !addresses.has_family(family) {
            continue;
        }
        let few = addresses.alone(family).filter(|few| can_be_asked_for(family) && few.len() <= FEW);
        let is_done = match few {
            Some(few) => ask_each(namespace, &few, &mut note)?,
            None => false,
        };
        if !is_done {
            ask(namespace, &all(family), &mut note).map_err(|e| without_ctnetlink(namespace, e))?;
        }
    }
    Ok(found)
}

/// Whether the kernel can be asked for the connections of one address. For IPv6 it takes the addresses that differ for those
/// that are meant (`ctnetlink_filter_match_tuple`, from 5.8 on), so it is asked for all.
fn can_be_asked_for(family: libc::c_int) -> bool {
    family == libc::AF_INET
}

/// Asks for the connections of each of `addresses`; `false` where the kernel cannot be asked so.
fn ask_each(
    namespace: &mut Namespace,
    addresses: &[IpAddr],
    note: &mut impl FnMut(Entry<'_>),
) -> Result<bool> {
    for address in addresses {
        for direction in [Direction::Original, Direction::Reply] {
            match ask(namespace, &of_address(*address, direction), note) {
                Err(e) if [Some(libc::EINVAL), Some(libc::EOPNOTSUPP)].contains(&e.errno()) => {
                    return Ok(false);
                }
                other => other?,
            }
        }
    }
    Ok(true)
}

fn ask(namespace: &mut Namespace, request: &Message, note: &mut impl FnMut(Entry<'_>)) -> Result<()> {
    namespace.dump_each(Protocol::Netfilter, request, |reply| {
        Entry::read(reply).into_iter().for_each(&mut *note);
    })
}

/// The meaning of a refusal to tell all connections of a family. In that question nothing can be wrong, so `EINVAL` is said by
/// nfnetlink: nobody answers for this number of a subsystem, and there is no module that would.
fn without_ctnetlink(namespace: &Namespace, error: Error) -> Error {
    if error.errno() != Some(libc::EINVAL) {
        return error;
    }
    Error::Unsupported(format!(
        "namespace {} has connections, and this kernel has no ctnetlink (CONFIG_NF_CT_NETLINK, module \
         nf_conntrack_netlink)",
        namespace.netns()
    ))
}
