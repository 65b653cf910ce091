//! From the spec to tables.

use guestnet_nft::expr::{Limit, LimitUnit, Log};
use guestnet_nft::{Chain, Expr, Family, Hook, Rule, Set, Table, TableName, Verdict, ether, statement};

use crate::guests::{Guests, members};
use crate::prefixes::Ip;
use crate::rules::list::Lists;
use crate::rules::owned::{Bridged, Owned};
use crate::rules::{arp, bridge, guard, inet, input, ports};
use crate::shape::{Direction, List};
use crate::words::{DROP, chain, deny, from_guest, is_its_mac, name, on};
use crate::{FirewallSpec, Paragraph};

/// The name of the tables, in each family: `nft list table inet guestnet_firewall`.
pub const TABLE: &str = "guestnet_firewall";

impl FirewallSpec {
    /// The tables that do it. Their chains and rules depend on the lengths of prefixes, the shapes of entries and the
    /// most groups of a guest, not on how many guests there are.
    pub fn lower(&self) -> Vec<Table> {
        let routed = Guests::of(self, None);
        let owned = Owned::of(self);
        let mut tables = vec![self.inet(&routed, &owned)];
        if !routed.is_empty() {
            tables.push(self.arp(&routed));
        }
        tables.extend(
            owned.bridged().map(|bridged| self.bridge(&Guests::of(self, Some(bridged.owned())), bridged)),
        );
        tables.extend(self.guests.iter().filter(|guest| guest.bridge.is_some()).map(ports::table));
        tables.extend(self.guard.iter().filter_map(|guard| guard::table(guard, table_name())));
        tables.into_iter().map(|table| self.with_drops(table)).collect()
    }

    fn inet(&self, guests: &Guests<'_>, owned: &Owned) -> Table {
        let members = members(self);
        let lists = [Direction::Out, Direction::In].map(|way| Lists::of(self, guests, &members, way));
        let [out, into] = &lists;
        let mut served = List::new("served", Direction::In, None);
        self.guest_services.iter().for_each(|entry| served.add(None, entry, &members));
        let mut services = List::new("services", Direction::In, None);
        let host = self.host.iter().flat_map(|host| &host.services);
        host.for_each(|entry| services.add(None, entry, &members));

        let mut sets: Vec<Set> = inet::sets(self, guests, owned);
        sets.extend(input::sets(self));
        sets.extend(lists.iter().flat_map(Lists::sets).chain(served.sets()).chain(services.sets()));
        let mut chains = inet::chains(self, guests, owned, out, into);
        chains.extend(input::chains(self, &served, &services, owned));
        table(Family::Inet, sets, chains)
    }

    fn arp(&self, guests: &Guests<'_>) -> Table {
        let input =
            Chain::base(name("input"), Hook::Input, 0).rule(on(Paragraph::MAC, [from_guest()], "from_link"));
        let its = on(Paragraph::MAC, [is_its_mac(ether::saddr())], arp::ENTRY);
        let from_link = chain("from_link", [its, deny(Paragraph::MAC, [])]);
        let chains = [input, from_link].into_iter().chain(arp::chains(guests));
        table(Family::Arp, guests.sets(&[Ip::V4]), chains.collect())
    }

    fn bridge(&self, guests: &Guests<'_>, bridged: &Bridged) -> Table {
        let members = members(self);
        let [out, into] = [Direction::Out, Direction::In].map(|way| Lists::of(self, guests, &members, way));
        let lists = [out.denied_to(bridge::DENIED), into];
        let [out, into] = &lists;
        let mut served = List::new("served", Direction::In, None);
        self.guest_services.iter().for_each(|entry| served.add(None, entry, &members));
        let mut sets = bridge::sets(self, guests, bridged);
        sets.extend(lists.iter().flat_map(Lists::sets).chain(served.sets()));
        table(Family::Bridge, sets, bridge::chains(self, guests, bridged, out, into, &served))
    }

    /// The table with the chains that count drops, as far as rules lead there.
    fn with_drops(&self, table: Table) -> Table {
        let led: Vec<String> =
            table.chains.iter().flat_map(|chain| &chain.rules).filter_map(target).collect();
        let used = |paragraph: &&Paragraph| led.contains(&format!("{DROP}{}", paragraph.suffix()));
        let drops = Paragraph::ALL.iter().filter(used).map(|paragraph| self.drops(*paragraph));
        drops.fold(table, Table::chain)
    }

    fn drops(&self, paragraph: Paragraph) -> Chain {
        let words = format!("{paragraph} {}", paragraph.title());
        let log = self.log.as_ref().map(|log| {
            let rate = u64::from(log.rate.max(1));
            let limit =
                Limit { rate, unit: LimitUnit::Second, burst: log.rate.max(1), over: false, bytes: false };
            let prefix = Some(format!("guestnet {paragraph} "));
            let log = match log.group {
                Some(_) => Log { prefix, group: log.group, ..Log::default() },
                None => Log { prefix, level: INFO, ..Log::default() },
            };
            Rule::new().with([Expr::Limit(limit), Expr::Log(log)]).comment(words.clone())
        });
        let count = Rule::new().with(statement::counter()).with(statement::drop()).comment(words.clone());
        chain(&format!("{DROP}{}", paragraph.suffix()), log.into_iter().chain([count]))
    }
}

/// `LOGLEVEL_INFO`.
const INFO: u32 = 6;

/// Where a rule goes to.
fn target(rule: &Rule) -> Option<String> {
    match rule.expressions.last() {
        Some(Expr::Verdict(Verdict::Goto(chain))) => Some(chain.as_str().to_owned()),
        _ => None,
    }
}

fn table(family: Family, sets: Vec<Set>, chains: Vec<Chain>) -> Table {
    let table = sets.into_iter().fold(Table::new(family, table_name()), Table::set);
    chains.into_iter().fold(table, Table::chain)
}

fn table_name() -> TableName {
    TABLE.parse().unwrap_or_else(|e| unreachable!("{e}"))
}
