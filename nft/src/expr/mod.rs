//! Expressions: the instructions of the kernel's nf_tables machine, one a file.
//!
//! A new expression is a file here and a line in `expressions!` below.

use serde::{Deserialize, Serialize};

mod bitwise;
mod byteorder;
mod bytes;
mod cmp;
mod connlimit;
mod counter;
mod ct;
mod dynset;
mod exthdr;
mod exthdr_write;
mod fib;
mod immediate;
mod limit;
mod log;
mod lookup;
mod map;
mod meta;
mod notrack;
mod payload;
mod payload_write;
mod range;
mod register;
mod reject;
mod rt;
mod verdict_map;

pub use bitwise::Bitwise;
pub use byteorder::Byteorder;
pub use bytes::Bytes;
pub use cmp::{Cmp, CmpOp};
pub use connlimit::Connlimit;
pub use counter::Counter;
pub use ct::{Ct, CtDirection, CtKey, CtSet};
pub use dynset::Dynset;
pub use exthdr::{Exthdr, ExthdrKind};
pub use exthdr_write::ExthdrWrite;
pub use fib::{Fib, FibFlag, FibResult};
pub use immediate::Immediate;
pub use limit::{Limit, LimitUnit};
pub use log::Log;
pub use lookup::Lookup;
pub use map::Map;
pub use meta::{Meta, MetaKey, MetaSet};
pub use notrack::Notrack;
pub use payload::{Payload, PayloadBase};
pub use payload_write::PayloadWrite;
pub use range::Range;
pub use register::Register;
pub use reject::Reject;
pub use rt::{Rt, RtKey};
pub use verdict_map::VerdictMap;

use crate::Verdict;
use crate::check::RuleCheck;
use crate::render::Text;
use crate::sys::RawExpr;
use crate::view::View;

/// How an expression is said to the kernel and read back.
pub(crate) trait Expression: Sized {
    /// The kernel's name. Several expressions can share one; each then reads only what it is.
    const NAME: &'static str;

    /// Sets the attributes of an empty `raw`.
    fn write(&self, raw: RawExpr) -> RawExpr;

    /// Reads the attributes of one that has the right name. `None` when it is something that this type cannot say.
    fn read(raw: &View<'_>) -> Option<Self>;

    /// Notes what is wrong with it, and which registers it takes and loads.
    fn check(&self, check: &mut RuleCheck<'_>);

    /// Says it in nft's words, or remembers what it loads until something is done with it.
    fn render(&self, text: &mut Text<'_>);
}

/// An expression that this crate does not know, as the kernel names it. Never wanted, only found: a rule with
/// one differs from every wanted rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unknown {
    /// The kernel's name for it: `quota`.
    pub name: String,
}

/// The variants of [`Expr`].
macro_rules! expressions {
    ($($(#[$doc:meta])* $name:ident($type:ty),)*) => {
        /// One expression of a rule.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Expr {
            $($(#[$doc])* $name($type),)*
            /// Found in the kernel, and not known here.
            Unknown(Unknown),
        }

        impl Expr {
            /// As libnftnl has it. One that was only found is written as one that does nothing: it is never wanted.
            pub(crate) fn write(&self) -> RawExpr {
                match self {
                    $(Self::$name(expression) => {
                        expression.write(RawExpr::new(<$type as Expression>::NAME))
                    })*
                    Self::Unknown(_) => RawExpr::new(Counter::NAME),
                }
            }

            /// See [`Expression::check`].
            pub(crate) fn check(&self, check: &mut RuleCheck<'_>) {
                match self {
                    $(Self::$name(expression) => expression.check(check),)*
                    Self::Unknown(Unknown { name }) => {
                        check.problem("unknown", format!("{name} was found, but cannot be asked for"));
                    }
                }
            }

            /// See [`Expression::render`].
            pub(crate) fn render(&self, text: &mut Text<'_>) {
                match self {
                    $(Self::$name(expression) => expression.render(text),)*
                    Self::Unknown(Unknown { name }) => {
                        text.only_netlink();
                        text.say(format!("({name})"));
                    }
                }
            }

            /// What was found in a rule.
            pub(crate) fn read(name: &str, raw: &View<'_>) -> Self {
                $(if name == <$type as Expression>::NAME && let Some(expression) = <$type>::read(raw) {
                    return Self::$name(expression);
                })*
                Self::Unknown(Unknown { name: name.to_owned() })
            }
        }

        $(impl From<$type> for Expr {
            fn from(expression: $type) -> Self {
                Self::$name(expression)
            }
        })*
    };
}

expressions! {
    /// Loads something that the kernel knows about the packet: `meta mark`.
    Meta(Meta),
    /// Changes it: `meta mark set …`.
    MetaSet(MetaSet),
    /// Loads bytes of the packet: `ip daddr`.
    Payload(Payload),
    /// Writes bytes of the packet: `ip daddr set …`.
    PayloadWrite(PayloadWrite),
    /// Compares a register with a constant.
    Cmp(Cmp),
    /// Compares a register with an interval.
    Range(Range),
    /// Masks and inverts bits of a register.
    Bitwise(Bitwise),
    /// Looks a register up in a set: `… @inbound`.
    Lookup(Lookup),
    /// Looks a register up in a map: `… map @inbound`.
    Map(Map),
    /// Looks a register up in a verdict map: `… vmap @guests`.
    VerdictMap(VerdictMap),
    /// Puts a register into a set: `add @connections { … }`.
    Dynset(Dynset),
    /// Loads a constant.
    Immediate(Immediate),
    /// Decides: `accept`, `jump guests`.
    Verdict(Verdict),
    /// Makes conntrack leave the packet alone.
    Notrack(Notrack),
    /// Loads something that conntrack knows about the packet: `ct state`.
    Ct(Ct),
    /// Changes it: `ct mark set …`.
    CtSet(CtSet),
    /// Counts packets and bytes.
    Counter(Counter),
    /// Writes to the log.
    Log(Log),
    /// Matches while packets come no faster than a rate.
    Limit(Limit),
    /// Matches by how many connections there are: `ct count over 100`.
    Connlimit(Connlimit),
    /// Drops with an answer.
    Reject(Reject),
    /// Loads bytes of an extension header or an option, or whether it is there: `exthdr frag exists`.
    Exthdr(Exthdr),
    /// Writes an option of TCP: `tcp option maxseg size set …`.
    ExthdrWrite(ExthdrWrite),
    /// Turns a number into the network's order of bytes.
    Byteorder(Byteorder),
    /// Asks the routing tables: `fib saddr . iif oif missing`.
    Fib(Fib),
    /// Loads something about the packet's route: `rt mtu`.
    Rt(Rt),
}
