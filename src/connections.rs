//! Connections of addresses that are taken from a guest: they end, since a known connection passes the lists of whoever has the
//! address next (docs/security.md 6.12).

use guestnet_core::conntrack::{self, Addresses};
use guestnet_core::{Error, Namespace, Netns};

use crate::objects::ObjectChange;
use crate::warning::Warning;

/// The addresses whose connections end with `change`.
pub(crate) fn released(change: &ObjectChange) -> Addresses {
    match change {
        ObjectChange::Table(change) => guestnet_firewall::released(change),
        _ => Addresses::default(),
    }
}

/// A change in words, with the connections that end with it.
pub(crate) fn told(change: &ObjectChange) -> String {
    let released = released(change);
    let text = change.text();
    if released.is_empty() { text } else { format!("{text}, ends the connections of {released}") }
}

/// Ends the connections of `addresses`. Asks nothing where there are none.
///
/// # Errors
/// As [`conntrack::end`].
pub(crate) fn end(namespace: &mut Namespace, addresses: &Addresses) -> Result<(), Error> {
    conntrack::end(namespace, addresses).map(drop)
}

/// The warning that they could not be ended: no reason to leave a guest where it is.
pub(crate) fn live_on(netns: &Netns, addresses: &Addresses, error: &Error) -> Warning {
    let place = match netns {
        Netns::Host => String::new(),
        Netns::Named(name) => format!(" in namespace {name}"),
    };
    Warning::new(
        "connections-live-on",
        format!("connections of {addresses}{place} could not be ended ({error})"),
        "whoever has these addresses next is let into them, whatever its lists say",
        "end them with `conntrack -D`, or wait until they have timed out, before the addresses are given away",
    )
}

#[cfg(all(test, feature = "replay"))]
mod tests {
    use std::sync::Arc;

    use guestnet_core::replay::Machine;
    use guestnet_core::{NetnsName, Protocol};

    use super::*;

    /// A kernel with so many connections that has no ctnetlink: nfnetlink knows no subsystem of that number.
    struct WithoutCtnetlink(&'static str);

    impl Machine for WithoutCtnetlink {
        fn answer(&self, _: &Netns, protocol: Protocol, question: &[u8]) -> Option<Vec<Vec<u8>>> {
            let header = question.get(..16)?;
            // `NFNL_SUBSYS_CTNETLINK`
            let refused = protocol == Protocol::Netfilter && header[5] == 1;
            let errno = if refused { -libc::EINVAL } else { 0 };
            let mut refusal = [&36_u32.to_ne_bytes(), &2_u32.to_ne_bytes(), &header[8..12], &[0; 4]].concat();
            refusal.extend(errno.to_ne_bytes());
            refusal.extend(header);
            Some(vec![refusal])
        }

        fn speaks(&self, _: Protocol) -> bool {
            true
        }

        fn file(&self, _: &Netns, path: &str) -> Option<String> {
            path.ends_with("/nf_conntrack_count").then(|| self.0.to_owned())
        }

        fn cookie(&self, _: &Netns) -> Option<u64> {
            Some(1)
        }

        fn names(&self) -> Vec<NetnsName> {
            Vec::new()
        }
    }

    fn end_on(kernel: WithoutCtnetlink, addresses: &[&str]) -> (Addresses, Result<(), Error>) {
        let machine: Arc<dyn Machine> = Arc::new(kernel);
        let mut namespace = Namespace::played(Netns::Host, &machine).unwrap();
        let mut all = Addresses::default();
        addresses.iter().for_each(|net| all.insert(net.parse().unwrap()));
        let ended = end(&mut namespace, &all);
        (all, ended)
    }

    #[test]
    fn a_kernel_without_ctnetlink_is_warned_of_where_it_has_connections() {
        // One address is asked for by itself, more of them and those of IPv6 are looked for among all.
        for addresses in [&["192.0.2.7/32"][..], &["2001:db8:7::/64"], &["192.0.2.0/24", "2001:db8::7/128"]] {
            let (all, ended) = end_on(WithoutCtnetlink("3\n"), addresses);
            let error = ended.unwrap_err();
            assert!(matches!(error, Error::Unsupported(_)), "{error}");
            for (netns, place) in
                [(Netns::Host, ""), (Netns::Named("vm".parse().unwrap()), " in namespace vm")]
            {
                let warning = live_on(&netns, &all, &error);
                assert_eq!(warning.id, "connections-live-on");
                let start = format!("connections of {all}{place} could not be ended (");
                assert!(warning.what.starts_with(&start), "{warning}");
                assert!(warning.what.contains("CONFIG_NF_CT_NETLINK"), "{warning}");
            }
        }
    }

    #[test]
    fn it_is_not_asked_where_it_has_none_or_nothing_is_taken() {
        for (count, addresses) in [("0\n", &["192.0.2.7/32"][..]), ("3\n", &[])] {
            end_on(WithoutCtnetlink(count), addresses).1.unwrap();
        }
    }
}
