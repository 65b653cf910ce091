//! Who else filters: base chains of others that guests' packets go through.

use guestnet_core::netlink::Attributes;
use guestnet_core::owner::TABLE_PREFIX;
use guestnet_core::{Message, Namespace, Protocol, Result};
use guestnet_nft::Family;

use super::case::Case;
use super::{Finding, Severity};

/// Length of `struct nfgenmsg`.
const NFGENMSG: usize = 4;

// linux/netfilter/nf_tables.h: enum nft_chain_attributes, enum nft_hook_attributes.
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;

const NF_DROP: u32 = 0;
const NF_INET_FORWARD: u32 = 2;

/// Tables that iptables-nft makes; `iptables` shows and changes them.
const OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

struct BaseChain {
    family: String,
    table: String,
    name: String,
    kind: String,
    hook: u32,
    policy: u32,
}

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    let Some(namespace) = &mut case.namespace else { return };
    let Ok(chains) = base_chains(namespace) else { return };
    for chain in &chains {
        let BaseChain { family, table, name, .. } = chain;
        if chain.hook == NF_INET_FORWARD && chain.policy == NF_DROP && family != "bridge" {
            let legacy = OF_IPTABLES.contains(&table.as_str());
            let remedy = match legacy && name == "FORWARD" {
                true => {
                    "let the guests' links pass there: `iptables -I FORWARD -i LINK -j ACCEPT` and `-o LINK` \
                         (with Docker in the chain DOCKER-USER)"
                        .to_owned()
                }
                false => format!(
                    "let the guests' links pass there: `nft insert rule {family} {table} {name} iifname LINK accept`, and oifname"
                ),
            };
            findings.push(Finding::new(
                Severity::Warning,
                "foreign-drop",
                format!("the chain {name} of the table {family} {table}, which is not guestnet's, drops what it does not accept"),
                "all that guests send and receive is forwarded, and every table has to accept it",
                remedy,
            ));
        }
        if chain.kind == "nat" && chain.family != "bridge" {
            findings.push(Finding::new(
                Severity::Note,
                "foreign-nat",
                format!("the chain {name} of the table {family} {table}, which is not guestnet's, translates addresses"),
                "it has connections tracked, and may translate the guests' packets too (masquerading above all)",
                "leave the guests' addresses out there; a guest in \"notrack\" mode is not translated by it",
            ));
        }
    }
}

/// The base chains of others.
fn base_chains(namespace: &mut Namespace) -> Result<Vec<BaseChain>> {
    if !namespace.speaks(Protocol::Netfilter) {
        return Ok(Vec::new());
    }
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) as u16 | libc::NFT_MSG_GETCHAIN as u16;
    let dump = namespace.dump(Protocol::Netfilter, &Message::new(kind, 0, &[0; NFGENMSG]))?;
    let big_endian = |value: &[u8]| Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?));
    let chain = |payload: &[u8]| {
        let attributes = Attributes::after(payload, NFGENMSG);
        let text = |kind| attributes.get_str(kind).unwrap_or_default().to_owned();
        let hook = Attributes::after(attributes.get(NFTA_CHAIN_HOOK)?, 0).get(NFTA_HOOK_HOOKNUM)?;
        Some(BaseChain {
            family: Family::from_number(*payload.first()?)?.to_string(),
            table: text(NFTA_CHAIN_TABLE),
            name: text(NFTA_CHAIN_NAME),
            kind: text(NFTA_CHAIN_TYPE),
            hook: big_endian(hook)?,
            policy: attributes.get(NFTA_CHAIN_POLICY).and_then(big_endian).unwrap_or(u32::MAX),
        })
    };
    let all = dump.replies().filter_map(|reply| chain(reply.payload));
    Ok(all.filter(|chain| !chain.table.starts_with(TABLE_PREFIX)).collect())
}
