//! What the kernel can do, tried in a namespace that goes away with the thread that is in it.

use std::net::IpAddr;

use guestnet_core::{
    Address, Change, Context, Error, Kind, LinkKind, Message, Namespace, Netns, Outbox, Phase, Protocol,
    Result, Set, Step,
};
use guestnet_nft::{Family, Table};
use guestnet_xfrm::tunnel::Pair;
use guestnet_xfrm::{PairSecret, SecretError, State, TunnelSpec};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use super::case::Case;
use super::{Finding, Severity};
use crate::objects::Objects;
use crate::spec::HostSpec;

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    // One of each kind where there is no spec.
    let usual = || usual().ok();
    let objects = case.objects.cloned().or_else(usual).unwrap_or_default();
    let families = case.outer_families();
    let found = std::thread::scope(|scope| {
        let trial = || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| Error::io("make a namespace", e))?;
            let mut namespace = Namespace::current()?;
            let mut found: Vec<Finding> = marks(&mut namespace).into_iter().collect();
            found.extend(tables(&mut namespace, &objects));
            found.extend(xfrm_interface(&mut namespace, &objects));
            found.extend(families.iter().filter_map(|ipv4| esp(&mut namespace, *ipv4)));
            Ok(found)
        };
        scope.spawn(trial).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    match found {
        Ok(found) => findings.extend(found),
        Err(error) => {
            let error: Error = error;
            findings.push(Finding::new(
                Severity::Note,
                "not-tried",
                format!("no namespace could be made to try things in ({error})"),
                "whether this kernel has nf_tables, ESP and the marks of addresses is not known",
                "run it as root",
            ));
        }
    }
}

/// A guest with translation, for those who ask without a spec.
fn usual() -> Result<Objects> {
    HostSpec::from_json(
        r#"{"version": 1, "guests": [{"name": "x", "interfaces": [{"name": "tapx", "serve": false,
            "public_ipv4": "203.0.113.1", "private_ipv4": "192.0.2.2"}]}]}"#,
    )?
    .objects()
}

/// Addresses are known as ours by their protocol (`IFA_PROTO`, Linux 5.18).
fn marks(namespace: &mut Namespace) -> Option<Finding> {
    let address: Address = serde_json::from_str(r#"{"dev": "lo", "address": "192.0.2.1/32"}"#).ok()?;
    let marked = send(namespace, Phase::Addresses, address.clone())
        .and_then(|()| Address::observe(namespace, &Set::new()))
        .is_ok_and(|observed| observed.ours.iter().any(|found| found.address == address.address));
    let finding = Finding::new(
        Severity::Error,
        "no-address-marks",
        "this kernel keeps no protocol of addresses (IFA_PROTO)",
        "guestnet could not tell its addresses from others'",
        "Linux 5.18 or later",
    );
    (!marked).then_some(finding)
}

/// The very tables that would be sent, but for those that hang on devices, which are not here.
fn tables(namespace: &mut Namespace, objects: &Objects) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tried: Vec<&Table> = Vec::new();
    for table in objects.iter().flat_map(|(_, objects)| objects.tables.iter()) {
        // Tables of guests differ in their elements only, mostly.
        if table.family == Family::Netdev || tried.contains(&table) || found.len() > 3 {
            continue;
        }
        tried.push(table);
        let kind = Table::encode;
        let result = encode(namespace, Phase::Filters, |context, out| {
            kind(&Change::Create(table.clone()), Phase::Filters, context, out)
        });
        if let Err(error) = result {
            let there = namespace.speaks(Protocol::Netfilter);
            let remedy = if there {
                "`modprobe` what the words name, or use a kernel that has it (CONFIG_NF_TABLES_*, CONFIG_NFT_*)"
            } else {
                "`modprobe nf_tables`, or use a kernel with CONFIG_NF_TABLES"
            };
            let finding = Finding::new(
                Severity::Error,
                "nf-tables",
                error.to_string(),
                "the guests' translation and filters cannot be made",
                remedy,
            );
            if !found.iter().any(|other: &Finding| other.what == finding.what) {
                found.push(finding);
            }
        } else {
            let delete = Change::Delete(table.clone());
            // It goes with the namespace in any case.
            let _ =
                encode(namespace, Phase::Filters, |context, out| kind(&delete, Phase::Filters, context, out));
        }
    }
    found
}

/// The first xfrm interface that would be made, if any.
fn xfrm_interface(namespace: &mut Namespace, objects: &Objects) -> Option<Finding> {
    let mut links = objects.iter().flat_map(|(_, objects)| objects.links.iter());
    let link = links.find(|link| matches!(link.kind, LinkKind::Xfrm(_)))?;
    let error = send(namespace, Phase::Links, link.clone()).err()?;
    Some(Finding::new(
        Severity::Error,
        "no-xfrm-interface",
        format!("an xfrm interface is refused ({error})"),
        "tunnels with an \"if_id\" cannot be made",
        "`modprobe xfrm_interface`, a kernel with CONFIG_XFRM_INTERFACE, or tunnels without \"if_id\"",
    ))
}

/// Asks for a state as a tunnel would have it.
fn esp(namespace: &mut Namespace, ipv4: bool) -> Option<Finding> {
    let (local, remote, module) = match ipv4 {
        true => (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]), "esp4"),
        false => (
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]),
            "esp6",
        ),
    };
    let state = state(local, remote).ok()?;
    let error = send(namespace, Phase::Tunnels, state).err()?;
    let family = if ipv4 { "IPv4" } else { "IPv6" };
    Some(Finding::new(
        Severity::Error,
        "no-esp",
        format!("ESP with AES-GCM over {family} is refused ({error})"),
        "no tunnel over it can be made",
        format!(
            "`modprobe -a {module} gcm aes`, or use a kernel that has them (CONFIG_INET_ESP, CONFIG_INET6_ESP, CONFIG_CRYPTO_GCM)"
        ),
    ))
}

fn state(local: IpAddr, remote: IpAddr) -> Result<State> {
    let failed = |e: String| Error::malformed("a state to try", e);
    // Of no use to anybody: it is known, and nothing is ever sent with it.
    let digits: String = (0..32).map(|n| format!("{n:02x}")).collect();
    let secret: PairSecret = digits.parse().map_err(|e: SecretError| failed(e.to_string()))?;
    let mut tunnel = TunnelSpec::new(local, remote);
    tunnel.secret = Some(secret.into());
    let pair = serde_json::from_str::<Pair>(r#"{"local": "198.51.100.1/32", "remote": "198.51.100.2/32"}"#);
    tunnel.pairs.push(pair.map_err(|e| failed(e.to_string()))?);
    tunnel.lower()?.0.into_iter().next().ok_or_else(|| failed("the tunnel has none".into()))
}

fn send<T: Kind>(namespace: &mut Namespace, phase: Phase, object: T) -> Result<()> {
    encode(namespace, phase, |context, out| T::encode(&Change::Create(object), phase, context, out))
}

/// Sends what `encode` says; the first refusal is the error.
fn encode(
    namespace: &mut Namespace,
    phase: Phase,
    encode: impl FnOnce(&Context, &mut Outbox) -> Result<()>,
) -> Result<()> {
    let context = Context { netns: Netns::Host, links: namespace.link_indexes(), ..Context::default() };
    let mut out = Outbox::new();
    encode(&context, &mut out)?;
    let protocol = match phase {
        Phase::Filters => Protocol::Netfilter,
        Phase::Tunnels => Protocol::Xfrm,
        _ => Protocol::Route,
    };
    let mut messages: Vec<Message> = out
        .into_steps()
        .into_iter()
        .filter_map(|(_, step)| match step {
            Step::Send(_, message) => Some(message),
            _ => None,
        })
        .collect();
    match namespace.exchange(protocol, &mut messages)?.into_iter().next() {
        None => Ok(()),
        Some((_, refusal)) => {
            let words = refusal.words.unwrap_or_else(|| Errno::from_raw(refusal.errno).desc().to_owned());
            Err(Error::Unsupported(format!("{words}, {:?}", Errno::from_raw(refusal.errno))))
        }
    }
}
