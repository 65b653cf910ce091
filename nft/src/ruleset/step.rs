//! The instructions of a rule, as far as they matter for what becomes of a packet.

use smol_str::SmolStr;

use super::{Match, Target};
use crate::Expr;
use crate::expr::Register;
use crate::uapi::{NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE};
use crate::view::View;

/// One instruction.
#[derive(Clone, Debug)]
pub enum Step {
    /// An expression that names neither a chain nor a set.
    Known(Expr),
    /// Turns numbers of `size` bytes from the host's order of bytes to the network's, or back.
    Byteorder {
        /// Where from.
        from: Register,
        /// Where to.
        to: Register,
        /// How many bytes in all.
        length: usize,
        /// How many bytes each.
        size: usize,
    },
    /// Decides, or goes to another chain.
    Verdict(Jump),
    /// Looks a register up in a set or map.
    Lookup {
        /// The set.
        set: SmolStr,
        /// The key.
        register: Register,
        /// Where the data of a map go; `None` for a set.
        to: Option<Destination>,
        /// Whether it matches what is not there.
        invert: bool,
    },
    /// A match of xtables, as iptables-nft makes them.
    Match(Match),
    /// A target of xtables.
    Target(Target),
    /// Translates addresses: `masquerade`, `snat`, `dnat`, `redirect`.
    Translate(SmolStr),
    /// Puts a register into this set, unless it is there.
    Notes(SmolStr),
    /// Does something that changes nothing for the packet: counts, logs.
    Nothing(SmolStr),
    /// Does what this crate does not know, as the kernel names it.
    Unknown(SmolStr),
}

/// Where the data of a map go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To a register.
    Register(Register),
    /// They are verdicts.
    Verdict,
}

/// A verdict of a ruleset that anybody made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jump {
    /// The packet passes this chain's hook at this priority.
    Accept,
    /// The packet is gone.
    Drop,
    /// The next rule decides.
    Continue,
    /// Back to where this chain was jumped to.
    Return,
    /// To another chain, and back.
    Jump(SmolStr),
    /// To another chain, not back.
    Goto(SmolStr),
    /// A program decides (`queue`).
    Queue,
}

const NF_QUEUE: u8 = 3;

impl Jump {
    /// The verdict that stands where otherwise a value does.
    pub(super) fn read(raw: &View<'_>) -> Option<Self> {
        let verdict = raw.nested(NFTA_DATA_VERDICT)?;
        let code = verdict.u32(NFTA_VERDICT_CODE)?.cast_signed();
        let chain = || verdict.text(NFTA_VERDICT_CHAIN).map(SmolStr::from);
        match code {
            0 => Some(Self::Drop),
            1 => Some(Self::Accept),
            -1 => Some(Self::Continue),
            -3 => chain().map(Self::Jump),
            -4 => chain().map(Self::Goto),
            -5 => Some(Self::Return),
            // The upper half is the number of the queue.
            code if code.to_le_bytes().first() == Some(&NF_QUEUE) => Some(Self::Queue),
            _ => None,
        }
    }
}

/// `NFT_REG_VERDICT`.
const VERDICT: u32 = 0;

const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;

const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_LOOKUP_SREG: u16 = 2;
const NFTA_LOOKUP_DREG: u16 = 3;
const NFTA_LOOKUP_FLAGS: u16 = 5;

const NFTA_BYTEORDER_SREG: u16 = 1;
const NFTA_BYTEORDER_DREG: u16 = 2;
const NFTA_BYTEORDER_LEN: u16 = 4;
const NFTA_BYTEORDER_SIZE: u16 = 5;

const NFTA_OBJREF_IMM_TYPE: u16 = 1;
const NFT_OBJECT_COUNTER: u32 = 1;
const NFT_OBJECT_CT_HELPER: u32 = 3;
const NFT_OBJECT_CT_TIMEOUT: u32 = 7;
const NFT_OBJECT_SECMARK: u32 = 8;

const NFTA_DYNSET_SET_NAME: u16 = 1;
const NFTA_DYNSET_EXPR: u16 = 7;
const NFTA_DYNSET_FLAGS: u16 = 9;
const NFTA_DYNSET_EXPRESSIONS: u16 = 10;

impl Step {
    /// The instruction that the kernel calls `name`.
    pub(super) fn read(name: &str, raw: &View<'_>) -> Self {
        let unknown = || Self::Unknown(name.into());
        match name {
            "immediate" if raw.u32(NFTA_IMMEDIATE_DREG) == Some(VERDICT) => {
                let jump = raw.nested(NFTA_IMMEDIATE_DATA).and_then(|data| Jump::read(&data));
                jump.map_or_else(unknown, Self::Verdict)
            }
            "lookup" => lookup(raw).unwrap_or_else(unknown),
            "byteorder" => byteorder(raw).unwrap_or_else(unknown),
            "match" => Self::Match(Match::read(raw)),
            "target" => Self::Target(Target::read(raw)),
            "nat" | "masq" | "redir" => Self::Translate(name.into()),
            "counter" | "log" | "last" | "dup" | "flow_offload" => Self::Nothing(name.into()),
            "objref" if counts(raw) => Self::Nothing(name.into()),
            // Notes an element; matches as long as there is room for it, and the set asks for nothing more.
            "dynset" if notes(raw) => {
                raw.text(NFTA_DYNSET_SET_NAME).map_or_else(unknown, |set| Self::Notes(set.into()))
            }
            _ => match Expr::read(name, raw) {
                Expr::Unknown(_)
                | Expr::Verdict(_)
                | Expr::Lookup(_)
                | Expr::Map(_)
                | Expr::VerdictMap(_)
                | Expr::Dynset(_) => unknown(),
                known => Self::Known(known),
            },
        }
    }
}

fn lookup(raw: &View<'_>) -> Option<Step> {
    let to = match raw.u32(NFTA_LOOKUP_DREG) {
        None => None,
        Some(VERDICT) => Some(Destination::Verdict),
        Some(number) => Some(Destination::Register(Register::from_number(number)?)),
    };
    Some(Step::Lookup {
        set: raw.text(NFTA_LOOKUP_SET)?.into(),
        register: Register::from_number(raw.u32(NFTA_LOOKUP_SREG)?)?,
        to,
        invert: raw.u32(NFTA_LOOKUP_FLAGS).unwrap_or(0) & 1 != 0,
    })
}

fn byteorder(raw: &View<'_>) -> Option<Step> {
    let size = raw.u32(NFTA_BYTEORDER_SIZE)? as usize;
    let length = raw.u32(NFTA_BYTEORDER_LEN)? as usize;
    [2, 4, 8].contains(&size).then_some(())?;
    Some(Step::Byteorder {
        from: Register::from_number(raw.u32(NFTA_BYTEORDER_SREG)?)?,
        to: Register::from_number(raw.u32(NFTA_BYTEORDER_DREG)?)?,
        length,
        size,
    })
}

/// Whether an object does nothing that could keep a rule from matching, as a quota could.
fn counts(raw: &View<'_>) -> bool {
    let kinds = [NFT_OBJECT_COUNTER, NFT_OBJECT_CT_HELPER, NFT_OBJECT_CT_TIMEOUT, NFT_OBJECT_SECMARK];
    raw.u32(NFTA_OBJREF_IMM_TYPE).is_some_and(|kind| kinds.contains(&kind))
}

/// Whether a dynamic set is only written to, and its elements limit nothing.
fn notes(raw: &View<'_>) -> bool {
    let inverted = raw.u32(NFTA_DYNSET_FLAGS).unwrap_or(0) & 1 != 0;
    !inverted && raw.get(NFTA_DYNSET_EXPR).is_none() && raw.get(NFTA_DYNSET_EXPRESSIONS).is_none()
}
