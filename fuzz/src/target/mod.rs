//! The targets, a module each.

mod conntrack;
mod dnsmasq;
mod explain;
mod fields;
mod host;
mod kept;
mod ledger;
mod observe;
mod secrets;
mod spec_json;
mod spec_toml;
mod step;
mod xfrm_stat;

use crate::mutate::{self, Dice};

/// What is given inputs.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    /// Reads an input, and panics when something does not hold of it that must hold of every one.
    pub run: fn(&[u8]),
    /// Changes an input; `None` where it is none that this could change.
    pub mutate: fn(&[u8], &mut Dice) -> Option<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "spec_json",
        about: "specs in JSON: read, printed, read again",
        run: spec_json::run,
        mutate: mutate::json::text,
    },
    Target {
        name: "spec_toml",
        about: "specs in TOML: read, printed, read again",
        run: spec_toml::run,
        mutate: mutate::json::toml,
    },
    Target { name: "step", about: "documents of a rekey step", run: step::run, mutate: mutate::json::text },
    Target { name: "secrets", about: "the file of secrets", run: secrets::run, mutate: mutate::json::text },
    Target { name: "explain", about: "questions to explain", run: explain::run, mutate: mutate::question },
    Target {
        name: "xfrm_stat",
        about: "counters of IPsec in /proc/net/xfrm_stat",
        run: xfrm_stat::run,
        mutate: mutate::bytes,
    },
    Target {
        name: "dnsmasq",
        about: "values that go into files of dnsmasq",
        run: dnsmasq::run,
        mutate: mutate::json::text,
    },
    Target {
        name: "fields",
        about: "texts of single fields, by their readers and by the patterns of the schemas",
        run: fields::run,
        mutate: mutate::bytes,
    },
    Target {
        name: "links",
        about: "links, of the kernel's answers",
        run: observe::links,
        mutate: mutate::netlink::stream,
    },
    Target {
        name: "addresses",
        about: "addresses, of the kernel's answers",
        run: observe::addresses,
        mutate: mutate::netlink::stream,
    },
    Target {
        name: "routes",
        about: "routes, of the kernel's answers",
        run: observe::routes,
        mutate: mutate::netlink::stream,
    },
    Target {
        name: "neighbours",
        about: "neighbours, of the kernel's answers",
        run: observe::neighbours,
        mutate: mutate::netlink::stream,
    },
    Target {
        name: "xfrm",
        about: "states and policies of IPsec, of the kernel's answers",
        run: observe::xfrm,
        mutate: mutate::netlink::stream,
    },
    Target {
        name: "nf_tables",
        about: "tables, chains, rules, sets and their elements, of the kernel's answers",
        run: observe::nf_tables,
        mutate: mutate::netlink::stream,
    },
    Target {
        name: "conntrack",
        about: "connections, of the kernel's answers, and what ends those of addresses that are taken away",
        run: conntrack::run,
        mutate: mutate::netlink::stream,
    },
    Target {
        name: "host",
        about: "a whole host, of the kernel's answers: planned for, observed, shown",
        run: host::run,
        mutate: mutate::netlink::stream,
    },
    Target {
        name: "ledger",
        about: "files that say what sysctls were before",
        run: ledger::run,
        mutate: mutate::bytes,
    },
    Target {
        name: "kept",
        about: "files that say what a host was last asked for",
        run: kept::run,
        mutate: mutate::json::files,
    },
];

impl Target {
    /// The target called `name`.
    pub fn called(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}
