//! Names of tables, chains and sets, such that nft's grammar can read back what we make.

use std::fmt;
use std::str::FromStr;

use guestnet_core::owner::TABLE_PREFIX;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// The longest name. The kernel takes 255 bytes (`NFT_NAME_MAXLEN`), but lists get unreadable long before.
const LONGEST: usize = 63;

/// The name of a table of ours: `guestnet_` and then 1 or more of `a-z 0-9 _`, 63 characters at most.
///
/// The prefix is the mark by which guestnet knows its own tables; no other table is ever touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableName(SmolStr);

/// The name of a chain, set or map: a lower-case letter and then `a-z 0-9 _`, 63 characters at most, and not a
/// word that nft's grammar keeps for itself (`dnat`, `snat`, …).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(SmolStr);

/// The words that nft (tried with 1.0.6, and a few that came later) does not take for a chain or a set.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "accept", "add", "ah", "all", "and", "arp", "auth", "bridge", "burst", "chain", "chains", "comment",
    "comp", "constant", "continue", "counter", "counters", "cpu", "create", "ct", "day", "dccp", "define",
    "delete", "describe", "destroy", "device", "devices", "dnat", "drop", "dscp", "dst", "dup", "dynamic",
    "ecn", "element", "elements", "eq", "esp", "ether", "exists", "expires", "export", "exthdr", "fib",
    "flags", "flow", "flowtable", "flowtables", "flush", "frag", "fwd", "ge", "geneve", "goto", "gre",
    "gretap", "gt", "handle", "hbh", "hook", "hour", "ibriport", "ibrname", "icmp", "icmpv6", "igmp", "iif",
    "iifgroup", "iifname", "iiftype", "import", "include", "inet", "insert", "interval", "ip", "ip6",
    "ipsec", "jhash", "jump", "last", "le", "length", "limit", "limits", "list", "log", "lt", "map", "maps",
    "mark", "masquerade", "meta", "meter", "meters", "mh", "missing", "monitor", "ne", "netdev", "nftrace",
    "not", "notrack", "numgen", "obriport", "obrname", "oif", "oifgroup", "oifname", "oiftype", "or", "osf",
    "policy", "priority", "protocol", "queue", "quota", "quotas", "random", "redefine", "redirect",
    "reject", "rename", "replace", "reset", "return", "rt", "rt0", "rt2", "rt4", "rtclassid", "rule",
    "rules", "ruleset", "sctp", "secmark", "set", "sets", "size", "skgid", "skuid", "snat", "socket", "srh",
    "symhash", "synproxy", "table", "tables", "tcp", "th", "time", "timeout", "tproxy", "tunnel", "type",
    "typeof", "udp", "udplite", "undefine", "vlan", "vmap", "vxlan", "xor", "xt",
];

fn check(what: &str, text: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("{text:?} is not the name of a {what}: {why}"));
    if text.is_empty() || text.len() > LONGEST {
        return refuse(&format!("it has {} characters, 1 to {LONGEST} are allowed", text.len()));
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return refuse("it does not start with a letter from a to z");
    }
    match text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_')) {
        Some(c) => refuse(&format!("{c:?} cannot stand in it (a to z, 0 to 9 and '_' can)")),
        None => Ok(()),
    }
}

impl FromStr for TableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check("table", text)?;
        match text.strip_prefix(TABLE_PREFIX) {
            Some(rest) if !rest.is_empty() => Ok(Self(text.into())),
            _ => Err(format!("{text:?} is not the name of a table of ours: those start with {TABLE_PREFIX}")),
        }
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check("chain or set", text)?;
        if KEYWORDS.contains(&text) {
            return Err(format!("{text:?} cannot name a chain or set: it is a word of nft's grammar"));
        }
        Ok(Self(text.into()))
    }
}

macro_rules! text {
    ($type:ident, $pattern:literal) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        guestnet_core::checked_text!($type, String, $pattern);
    };
}

text!(TableName, "^guestnet_[a-z0-9_]{1,54}$");
text!(Name, "^[a-z][a-z0-9_]{0,62}$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_carries_our_mark() {
        assert!("guestnet_nat".parse::<TableName>().is_ok());
        for bad in ["nat", "guestnet_", "guestnet_Nat", "guestnet_a b", "guestnet_a;"] {
            assert!(bad.parse::<TableName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn words_of_the_grammar_are_refused() {
        assert!("inbound".parse::<Name>().is_ok());
        for bad in ["dnat", "snat", "fwd", "", "1a", "a-b", "_a", &"a".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
