//! The statements that need nothing of the packet, in nft's words.

use crate::expr::{
    Byteorder, Counter, Expr, ExthdrWrite, Limit, LimitUnit, Log, Notrack, Register, Reject, Rt, RtKey,
};
use crate::{Name, Statement, Verdict};

/// `accept`
pub fn accept() -> Statement {
    vec![Expr::Verdict(Verdict::Accept)]
}

/// `drop`
pub fn drop() -> Statement {
    vec![Expr::Verdict(Verdict::Drop)]
}

/// `return`
pub fn return_() -> Statement {
    vec![Expr::Verdict(Verdict::Return)]
}

/// `jump CHAIN`
pub fn jump(chain: Name) -> Statement {
    vec![Expr::Verdict(Verdict::Jump(chain))]
}

/// `goto CHAIN`
pub fn goto(chain: Name) -> Statement {
    vec![Expr::Verdict(Verdict::Goto(chain))]
}

/// `notrack`: no connection state for this packet. Works at a priority before conntrack's (-200).
pub fn notrack() -> Statement {
    vec![Expr::Notrack(Notrack {})]
}

/// `counter`
pub fn counter() -> Statement {
    vec![Expr::Counter(Counter {})]
}

/// `log prefix "PREFIX"`: to the kernel's log, at level warning.
pub fn log(prefix: impl Into<String>) -> Statement {
    vec![Expr::Log(Log { prefix: Some(prefix.into()), ..Log::default() })]
}

/// `reject`: answers with an ICMP error that fits the packet's family: "port unreachable".
pub fn reject() -> Statement {
    vec![Expr::Reject(Reject::IcmpxPortUnreachable)]
}

/// `limit rate RATE/UNIT burst BURST packets`: matches as long as packets come no faster.
pub fn limit(rate: u64, unit: LimitUnit, burst: u32) -> Statement {
    vec![Expr::Limit(Limit { rate, unit, burst, over: false, bytes: false })]
}

/// `tcp option maxseg size set rt mtu`: lowers the maximum segment size of a TCP connection that is being opened to what
/// the routes both ways leave. For packets that are routed already: in the hooks forward, output and postrouting.
pub fn clamp_mss() -> Statement {
    let register = Register::default();
    vec![
        Rt { key: RtKey::Tcpmss, register }.into(),
        Byteorder { register }.into(),
        ExthdrWrite::mss(register).into(),
    ]
}
