//! The rules, in words for both families.

use std::collections::BTreeMap;
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
/// set between the two (and on errors about such a packet: [`crate::NatSpec::sysctls`]), and all others are left alone. A routing rule that looks at marks should mask it out.
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

    /// A packet costs what it crosses: the rules stand in the base chains themselves, and ICMP, which is
    /// rare, turns off where it has been found to be that, once.
    fn make_chains(&self, mode: Mode) -> Vec<Chain> {
        let inward = || self.inward(mode).into_iter();
        let prerouting = Chain::base(name("prerouting"), Hook::Prerouting, BEFORE_CONNTRACK);
        let own_errors = Chain::regular(name("own_errors"));
        let mut output = Chain::base(name("output"), Hook::Output, BEFORE_CONNTRACK).rule(
            Rule::new()
                .with(self.is_icmp())
                .with(self.is_error())
                .with(statement::goto(own_errors.name.clone()))
                .comment("our own errors about packets that were translated already"),
        );
        // Its packets have to be routed again when they are given another destination.
        output.base.iter_mut().for_each(|base| base.kind = ChainType::Route);
        let mut chains = vec![inward().fold(prerouting, Chain::rule), output];
        chains.push(inward().fold(own_errors, Chain::rule));
        let arrived = Chain::regular(name("arrived")).rule(self.errors("quoted_source"));
        let quoted_source = self.quoted_source();
        match mode {
            Mode::Notrack => {
                let hairpin = self.sources(mode).into_iter();
                let hairpin =
                    hairpin.map(|rule| rule.comment("hairpin: the source too, whatever the destination"));
                chains.push(hairpin.fold(arrived, Chain::rule));
                chains
                    .push(quoted_source.rule(Rule::new().with(statement::goto(name("quoted_destination")))));
            }
            Mode::Tracked => {
                chains.extend([arrived, quoted_source]);
                let hairpin = Rule::new()
                    .with(meta::mark().has(MARK))
                    .with(meta::mark().set_bits(MARK, 0_u32))
                    .with(statement::goto(name("outward")))
                    .comment("hairpin: the source too, whatever the destination");
                let postrouting =
                    Chain::base(name("postrouting"), Hook::Postrouting, BEHIND_CONNTRACK).rule(hairpin);
                let private = self.stay_private().into_iter().fold(postrouting, Chain::rule);
                chains.push(private.rule(Rule::new().with(statement::goto(name("outward")))));
            }
        }
        let outward = Chain::regular(name("outward")).rule(self.errors("quoted_destination"));
        chains.push(self.sources(mode).into_iter().fold(outward, Chain::rule));
        chains.push(self.quoted_destination(mode));
        chains
    }

    /// What is asked of a packet before conntrack sees it.
    fn inward(&self, mode: Mode) -> Vec<Rule> {
        let mut rules = self.find_destination(mode);
        if mode == Mode::Notrack {
            rules.extend(self.stay_private());
            let local = Rule::new().with(is_local()).with(statement::return_());
            rules.push(local.comment("answers of the namespace itself are not translated"));
            rules.push(Rule::new().with(statement::goto(name("outward"))));
        }
        rules
    }

    /// From public to private: the outer destination. Who is found goes on to `arrived`.
    fn find_destination(&self, mode: Mode) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.family == Family::Ip6 {
            // RFC 4861: router and neighbour solicitations and advertisements, redirects.
            let rule = Rule::new()
                .with(self.is_icmp())
                .with(icmpv6::kind().within(133_u8, 137_u8))
                .with(statement::return_())
                .comment("neighbour discovery is between neighbours");
            rules.push(rule);
        }
        rules.extend(self.lengths.iter().map(|length| {
            let rule = Rule::new().with(self.translate(self.daddr(), *length, inbound(*length)));
            let rule = match mode {
                Mode::Notrack => rule.with(statement::notrack()),
                Mode::Tracked => rule
                    .with(meta::mark().set_bits(MARK, MARK))
                    .comment("marked for postrouting: the destination was public"),
            };
            rule.with(statement::goto(name("arrived")))
        }));
        rules
    }

    /// Returns with packets whose source stays private.
    fn stay_private(&self) -> Vec<Rule> {
        let untranslated = Rule::new()
            .with(self.daddr().is_in(name(UNTRANSLATED)))
            .with(statement::return_())
            .comment("to where private addresses are known");
        let neighbours = self.lengths.iter().map(|length| {
            Rule::new()
                .with(self.has(self.daddr(), *length, outbound(*length)))
                .with(statement::return_())
                .comment("a neighbour, called by the private address")
        });
        std::iter::once(untranslated).chain(neighbours).collect()
    }

    /// To the chain that looks at what errors quote, and back.
    fn errors(&self, chain: &str) -> Rule {
        Rule::new().with(self.is_icmp()).with(statement::jump(name(chain)))
    }

    /// The source in the quote of an error for a guest, which is the guest.
    fn quoted_source(&self) -> Chain {
        let rules = self.lengths.iter().map(|length| {
            Rule::new()
                .with(self.is_error())
                .with(self.translate(self.quoted_saddr(), *length, inbound(*length)))
                .comment("what an error quotes was sent by the guest")
        });
        rules.fold(Chain::regular(name("quoted_source")), Chain::rule)
    }

    /// The destination in the quote of an error about a guest, be it by the guest or by a router before it.
    fn quoted_destination(&self, mode: Mode) -> Chain {
        let rules = self.lengths.iter().map(|length| {
            Rule::new()
                .with(self.is_error())
                .with(self.translate(self.quoted_daddr(), *length, outbound(*length)))
                .with(untracked(mode))
                .comment("what an error quotes was sent to the public address")
        });
        rules.fold(Chain::regular(name("quoted_destination")), Chain::rule)
    }

    /// From private to public: the outer source.
    fn sources(&self, mode: Mode) -> Vec<Rule> {
        let rule = |length: &u8| {
            Rule::new().with(self.translate(self.saddr(), *length, outbound(*length))).with(untracked(mode))
        };
        self.lengths.iter().map(rule).collect()
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
