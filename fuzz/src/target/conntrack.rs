//! Connections as the kernel tells them, and what is said to end those of addresses that are taken away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use guestnet::core::conntrack::{self, Addresses};
use guestnet::core::netlink::Attributes;
use guestnet::core::replay::Machine;
use guestnet::core::{Namespace, Netns, NetnsName, Protocol};

use crate::kernel::{self, Kernel};
use crate::{memory, property};

/// `IPCTNL_MSG_CT_NEW` and `_DELETE`, of `NFNL_SUBSYS_CTNETLINK`.
const NEW: u16 = 0x100;
const DELETE: u16 = 0x102;
/// Length of `struct nfgenmsg`.
const NFGENMSG: usize = 4;
const CTA_TUPLE_ORIG: u16 = 1;

/// A kernel that looks at what it is told to delete.
struct Watched {
    kernel: Kernel,
    deletions: AtomicUsize,
}

/// Each length of question that there is: one address, several, prefixes, of both families.
const TAKEN: [&[&str]; 3] = [
    &["192.168.0.7/32"],
    &["2001:db8:7::/64", "fe80::7/128"],
    &["192.168.0.0/24", "203.0.113.7/32", "2001:db8:7::7/128"],
];

pub fn run(input: &[u8]) {
    let told = kernel::messages(input).filter(|(kind, _)| *kind == NEW).count();
    for nets in TAKEN {
        let mut addresses = Addresses::default();
        nets.iter().for_each(|net| addresses.insert(net.parse().unwrap_or_else(|e| panic!("{net}: {e}"))));
        let kernel = Kernel::new(input, Protocol::Netfilter)
            .with_file("/proc/sys/net/netfilter/nf_conntrack_count", "7");
        let watched = Arc::new(Watched { kernel, deletions: AtomicUsize::new(0) });
        let machine: Arc<dyn Machine> = Arc::clone(&watched) as _;
        let Ok(mut namespace) = Namespace::played(Netns::Host, &machine).inspect_err(property::can_be_shown)
        else {
            return;
        };
        let ended = memory::in_proportion(input.len(), || conntrack::end(&mut namespace, &addresses));
        let deletions = watched.deletions.load(Ordering::Relaxed);
        match ended {
            Ok(ended) => assert!(ended <= deletions, "{ended} connections ended by {deletions} deletions"),
            Err(error) => property::can_be_shown(&error),
        }
        // One may be told of more than once: for each of its sources, and again where all are asked for.
        assert!(told > 0 || deletions == 0, "{deletions} deletions of no connection");
    }
}

impl Watched {
    /// Asserts that each deletion in `question` names a tuple. One without ends all connections.
    fn look(&self, question: &[u8]) {
        for (_, deletion) in kernel::messages(question).filter(|(kind, _)| *kind == DELETE) {
            let payload = deletion.get(16..).unwrap_or_default();
            let tuple = Attributes::after(payload, NFGENMSG).get(CTA_TUPLE_ORIG);
            assert!(tuple.is_some_and(|tuple| !tuple.is_empty()), "it would end all: {deletion:?}");
            self.deletions.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Machine for Watched {
    fn answer(&self, netns: &Netns, protocol: Protocol, question: &[u8]) -> Option<Vec<Vec<u8>>> {
        if protocol == Protocol::Netfilter {
            self.look(question);
        }
        self.kernel.answer(netns, protocol, question)
    }

    fn speaks(&self, protocol: Protocol) -> bool {
        self.kernel.speaks(protocol)
    }

    fn file(&self, netns: &Netns, path: &str) -> Option<String> {
        self.kernel.file(netns, path)
    }

    fn cookie(&self, netns: &Netns) -> Option<u64> {
        self.kernel.cookie(netns)
    }

    fn names(&self) -> Vec<NetnsName> {
        self.kernel.names()
    }
}
