//! The rules, in words for both families.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use guestnet_core::Set as Keyed;
use guestnet_nft::expr::{Bytes, Cmp, CmpOp, Fib, FibFlag, FibResult, Map, Register};
use guestnet_nft::{
    Chain, ChainType, DataType, Expr, Family, Field, Hook, Name, Rule, Statement, icmp, icmpv6, ip, ip6,
    meta, statement,
};

use crate::Mode;

/// The bit of the packet mark by which, in [`Mode::Tracked`], a packet whose destination was translated on its way in
/// is known on its way out, where its source is translated even if its destination is private by now. It is only ever
/// set between the two (and on errors about such a packet: [`crate::NatSpec::sysctls`]), for packets that may be from a
/// guest, and for ICMP; all other bits are left alone. A routing rule that looks at marks should mask it out.
pub const MARK: u32 = 0x0100_0000;

/// `raw`: before conntrack, which is at -200.
const BEFORE_CONNTRACK: i32 = -300;
/// Behind conntrack's own translation (`srcnat`, 100), and behind where others filter.
const BEHIND_CONNTRACK: i32 = 300;

/// `RTN_LOCAL`: an address of this namespace.
const LOCAL: u32 = 2;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What a table is about: a family, and the lengths of the prefixes that it translates.
pub struct Words {
    /// IPv4 or IPv6.
    pub family: Family,
    /// In bits, whole bytes.
    pub lengths: Vec<u8>,
}

/// Set of destinations that are left alone.
pub const UNTRANSLATED: &str = "untranslated";
/// Set of the first bytes, the rest zero, of those destinations and of all private addresses: what is not near, as most
/// of the world is, needs no other lookup. One byte too many in it does no harm.
pub const NEAR: &str = "near";
/// Set of the types of ICMP errors.
pub const ERRORS: &str = "errors";

/// The map from public to private prefixes of `length` bits.
pub fn inbound(length: u8) -> Name {
    name(&format!("inbound{length}"))
}

/// The map from private to public prefixes of `length` bits.
pub fn outbound(length: u8) -> Name {
    name(&format!("outbound{length}"))
}

/// A name that is fit by construction.
pub fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|e| unreachable!("{e}"))
}

/// The chains that were made, by what they are made of.
type Made = BTreeMap<(Family, bool, Vec<u8>), Keyed<Chain>>;

impl Words {
    /// The chains, which are the same for all guests: made once, and shared by all tables of their form.
    pub fn chains(&self, mode: Mode) -> Keyed<Chain> {
        static MADE: Mutex<Made> = Mutex::new(BTreeMap::new());
        let form = (self.family, mode == Mode::Tracked, self.lengths.clone());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(form).or_insert_with(|| self.make_chains(mode).into_iter().collect()).clone()
    }

    /// A packet costs what it crosses: the rules stand in the base chains themselves. ICMP, which is rare, turns off
    /// first, to chains with the same questions that look at what errors quote besides.
    fn make_chains(&self, mode: Mode) -> Vec<Chain> {
        let mut output = Chain::base(name("output"), Hook::Output, BEFORE_CONNTRACK).rule(
            Rule::new()
                .with(self.is_icmp())
                .with(self.is_error())
                .with(goto("icmp_inward"))
                .comment("our own errors about packets that were translated already"),
        );
        // Its packets have to be routed again when they are given another destination.
        output.base.iter_mut().for_each(|base| base.kind = ChainType::Route);
        let quoted_destination = filled(regular("quoted_destination"), self.quoted_destinations(mode));
        let quoted_destination = filled(quoted_destination, self.sources(mode));
        let hairpin = filled(regular("hairpin"), self.sources(mode));
        let mut chains = vec![output, self.stay(), hairpin, quoted_destination];
        chains.extend(if mode == Mode::Notrack { self.at_once() } else { self.around_conntrack() });
        chains
    }

    /// [`Mode::Notrack`]: both addresses on the way in.
    fn at_once(&self) -> Vec<Chain> {
        let (mode, on) = (Mode::Notrack, || Rule::new().with(goto("quoted_destination")));
        let prerouting = filled(self.prerouting(), self.destinations(&untracked(mode), "arrived"));
        let near = Rule::new().with(self.is_near(self.saddr())).with(goto("hairpin"));
        let icmp_inward = filled(self.icmp_inward(), self.destinations(&untracked(mode), "quoted_source"));
        vec![
            filled(prerouting.rule(self.keep()).rule(answers()), self.sources(mode)),
            regular("arrived").rule(near),
            icmp_inward.rule(self.keep()).rule(answers()).rule(on()),
            self.quoted_source().rule(on()),
        ]
    }

    /// [`Mode::Tracked`]: the destination before conntrack, the source behind it.
    fn around_conntrack(&self) -> Vec<Chain> {
        let near = Rule::new().with(self.is_near(self.saddr())).with(mark());
        let postrouting = Chain::base(name("postrouting"), Hook::Postrouting, BEHIND_CONNTRACK)
            .rule(self.turn_off("icmp_outward"))
            .rule(self.far())
            .rule(was_public("hairpin"))
            .rule(self.keep());
        vec![
            filled(self.prerouting(), self.destinations(&Statement::new(), "arrived")),
            regular("arrived").rule(near.comment("for postrouting: the destination was public")),
            filled(self.icmp_inward(), self.destinations(&mark(), "quoted_source")),
            self.quoted_source(),
            filled(postrouting, self.sources(Mode::Tracked)),
            regular("icmp_outward")
                .rule(was_public("quoted_destination"))
                .rule(self.keep())
                .rule(Rule::new().with(goto("quoted_destination"))),
        ]
    }

    fn prerouting(&self) -> Chain {
        Chain::base(name("prerouting"), Hook::Prerouting, BEFORE_CONNTRACK).rule(self.turn_off("icmp_inward"))
    }

    fn icmp_inward(&self) -> Chain {
        filled(regular("icmp_inward"), self.neighbour_discovery())
    }

    /// RFC 4861: router and neighbour solicitations and advertisements, redirects.
    fn neighbour_discovery(&self) -> impl Iterator<Item = Rule> {
        let rule = Rule::new()
            .with(icmpv6::kind().within(133_u8, 137_u8))
            .with(statement::return_())
            .comment("neighbour discovery is between neighbours");
        (self.family == Family::Ip6).then_some(rule).into_iter()
    }

    /// From public to private: the outer destination, before conntrack sees it. Who is found goes on to `chain`.
    fn destinations(&self, and: &Statement, chain: &str) -> impl Iterator<Item = Rule> {
        self.lengths.iter().map(move |length| {
            let translated = self.translate(self.daddr(), *length, inbound(*length));
            Rule::new().with(translated).with(and.clone()).with(goto(chain))
        })
    }

    /// Passes packets whose source stays private.
    fn keep(&self) -> Rule {
        Rule::new().with(self.is_near(self.daddr())).with(statement::jump(name("stay")))
    }

    /// Passes what is to a destination that sees private sources; returns with what only looks so.
    fn stay(&self) -> Chain {
        let untranslated = Rule::new()
            .with(self.daddr().is_in(name(UNTRANSLATED)))
            .with(statement::accept())
            .comment("to where private addresses are known");
        let neighbours = self.lengths.iter().map(|length| {
            Rule::new()
                .with(self.has(self.daddr(), *length, outbound(*length)))
                .with(statement::accept())
                .comment("a neighbour, called by the private address")
        });
        filled(regular("stay").rule(untranslated), neighbours)
    }

    /// Passes packets that are from no guest, as most are that were to a public address.
    fn far(&self) -> Rule {
        let far = Rule::new().with(self.saddr().prefix(8).not_in(name(NEAR))).with(statement::accept());
        far.comment("from no guest")
    }

    fn is_near(&self, address: Field) -> Statement {
        address.prefix(8).is_in(name(NEAR))
    }

    /// ICMP to the chain that looks at what errors quote.
    fn turn_off(&self, chain: &str) -> Rule {
        Rule::new().with(self.is_icmp()).with(goto(chain))
    }

    /// The source in the quote of an error for a guest, which is the guest.
    fn quoted_source(&self) -> Chain {
        let rules = self.lengths.iter().map(|length| {
            Rule::new()
                .with(self.is_error())
                .with(self.translate(self.quoted_saddr(), *length, inbound(*length)))
                .comment("what an error quotes was sent by the guest")
        });
        filled(regular("quoted_source"), rules)
    }

    /// The destination in the quote of an error about a guest, be it by the guest or by a router before it.
    fn quoted_destinations(&self, mode: Mode) -> impl Iterator<Item = Rule> {
        self.lengths.iter().map(move |length| {
            Rule::new()
                .with(self.is_error())
                .with(self.translate(self.quoted_daddr(), *length, outbound(*length)))
                .with(untracked(mode))
                .comment("what an error quotes was sent to the public address")
        })
    }

    /// From private to public: the outer source.
    fn sources(&self, mode: Mode) -> impl Iterator<Item = Rule> {
        self.lengths.iter().map(move |length| {
            Rule::new().with(self.translate(self.saddr(), *length, outbound(*length))).with(untracked(mode))
        })
    }

    /// The first `length` bits of `field` set to what `map` has for them.
    fn translate(&self, field: Field, length: u8, map: Name) -> Statement {
        if self.is_whole(length) {
            return field.clone().set(field.map(map));
        }
        field.clone().first_bytes(length / 8).set(field.prefix(length).map(map))
    }

    /// Whether `map` has the first `length` bits of `field`. Linux before 6.8 looks a map up only for its data.
    fn has(&self, field: Field, length: u8, map: Name) -> Statement {
        let field = if self.is_whole(length) { field } else { field.prefix(length) };
        let mut statement = field.is_in(map.clone());
        statement.pop();
        let register = Register::default();
        statement.push(Map { map, register, to: register }.into());
        let data = Bytes(vec![0; self.data().size()]);
        statement.push(Cmp { op: CmpOp::Ne, data, register }.into());
        statement
    }

    fn is_whole(&self, length: u8) -> bool {
        usize::from(length) == self.data().size() * 8
    }

    fn is_icmp(&self) -> Statement {
        meta::l4proto().eq(self.either(ICMP, ICMPV6))
    }

    /// ICMP is an error: it quotes what it is about.
    fn is_error(&self) -> Statement {
        self.either(icmp::kind(), icmpv6::kind()).is_in(name(ERRORS))
    }

    /// The type of its addresses.
    pub fn data(&self) -> DataType {
        self.either(DataType::Ipv4Addr, DataType::Ipv6Addr)
    }

    /// The first address that starts with `byte`.
    pub fn starting(&self, byte: u8) -> IpAddr {
        let v6 = Ipv6Addr::from_bits(u128::from(byte) << 120);
        self.either(Ipv4Addr::new(byte, 0, 0, 0).into(), v6.into())
    }

    fn saddr(&self) -> Field {
        self.either(ip::saddr(), ip6::saddr())
    }

    fn daddr(&self) -> Field {
        self.either(ip::daddr(), ip6::daddr())
    }

    fn quoted_saddr(&self) -> Field {
        self.either(icmp::quoted_saddr(), icmpv6::quoted_saddr())
    }

    fn quoted_daddr(&self) -> Field {
        self.either(icmp::quoted_daddr(), icmpv6::quoted_daddr())
    }

    fn either<T>(&self, ipv4: T, ipv6: T) -> T {
        if self.family == Family::Ip6 { ipv6 } else { ipv4 }
    }
}

/// The chain with more rules.
fn filled(chain: Chain, rules: impl IntoIterator<Item = Rule>) -> Chain {
    rules.into_iter().fold(chain, Chain::rule)
}

fn regular(text: &str) -> Chain {
    Chain::regular(name(text))
}

/// Marks a packet for postrouting: its destination was public.
fn mark() -> Statement {
    meta::mark().set_bits(MARK, MARK)
}

fn goto(chain: &str) -> Statement {
    statement::goto(name(chain))
}

/// Behind conntrack: a packet whose destination was public goes to `chain`, and its mark is cleared.
fn was_public(chain: &str) -> Rule {
    Rule::new().with(meta::mark().has(MARK)).with(meta::mark().set_bits(MARK, 0_u32)).with(goto(chain))
}

/// Returns with packets for the namespace itself.
fn answers() -> Rule {
    let local = Rule::new().with(is_local()).with(statement::return_());
    local.comment("answers of the namespace itself are not translated")
}

/// `notrack`, where the mode says so.
fn untracked(mode: Mode) -> Statement {
    if mode == Mode::Notrack { statement::notrack() } else { Statement::new() }
}

/// `fib daddr type local`
fn is_local() -> Statement {
    let register = Register::default();
    let fib = Fib { result: FibResult::Addrtype, flags: [FibFlag::Daddr].into(), present: false, register };
    let data = Bytes(LOCAL.to_ne_bytes().to_vec());
    vec![Expr::from(fib), Cmp { op: CmpOp::Eq, data, register }.into()]
}
