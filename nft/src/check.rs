//! What is wrong with a table, all of it at once.

use std::collections::BTreeSet;

use guestnet_core::{Path, Problems};

use crate::expr::Register;
use crate::userdata::LONGEST_COMMENT;
use crate::{
    ChainType, Data, DataType, Element, Expr, Family, Hook, MapType, Name, Rule, Set, Table, Value, Verdict,
};

/// The most bytes of a key or datum (`NFT_DATA_VALUE_MAXLEN`).
const LONGEST_VALUE: usize = 64;

/// How many chains a packet can have jumped through (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

impl Table {
    /// Notes everything that the kernel, or nft when it lists the table, would stumble over. Chains, sets and
    /// elements are named in the paths by their names.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        for what in &self.unknown {
            problems.at(&path.field("unknown"), format!("{what}: was found, but cannot be asked for"));
        }
        for set in &self.sets {
            check_set(self, set, &path.field("sets").field(set.name.as_str()), problems);
        }
        for chain in &self.chains {
            let path = path.field("chains").field(chain.name.as_str());
            if let Some(base) = &chain.base {
                check_base(self, base, &path, problems);
            }
            for (n, rule) in chain.rules.iter().enumerate() {
                check_rule(self, rule, &path.field("rules").index(n), problems);
            }
            if let Some(found) = too_deep(self, &chain.name, &mut Vec::new()) {
                problems.at(&path, found);
            }
        }
    }
}

fn check_base(table: &Table, base: &crate::Base, path: &Path, problems: &mut Problems) {
    let family = table.family;
    if base.hook.number(family).is_none() {
        problems.at(&path.field("base").field("hook"), format!("family {family} has no hook {}", base.hook));
    }
    let layer3 = matches!(family, Family::Ip | Family::Ip6 | Family::Inet);
    let of_type = match base.kind {
        ChainType::Filter => true,
        ChainType::Route => layer3 && base.hook == Hook::Output,
        ChainType::Nat => {
            layer3 && matches!(base.hook, Hook::Prerouting | Hook::Input | Hook::Output | Hook::Postrouting)
        }
    };
    if !of_type {
        let text = format!("family {family} has no chains of type {} at hook {}", base.kind, base.hook);
        problems.at(&path.field("base").field("type"), text);
    }
    if base.kind == ChainType::Nat && base.priority <= -200 {
        problems
            .at(&path.field("base").field("priority"), "chains of type nat come after conntrack: above -200");
    }
    let at_device = matches!(base.hook, Hook::Ingress | Hook::Egress);
    if at_device == base.devices.is_empty() {
        let text =
            if at_device { "this hook needs at least one" } else { "only ingress and egress have devices" };
        problems.at(&path.field("base").field("devices"), text);
    }
}

fn check_rule(table: &Table, rule: &Rule, path: &Path, problems: &mut Problems) {
    check_comment(rule.comment.as_deref(), path, problems);
    if rule.expressions.is_empty() {
        problems.at(&path.field("expressions"), "a rule needs at least one");
    }
    let loaded = [false; Register::COUNT];
    let mut check = RuleCheck { table, path: path.clone(), problems, loaded };
    for (n, expression) in rule.expressions.iter().enumerate() {
        check.path = path.field("expressions").index(n);
        expression.check(&mut check);
    }
}

/// A comment becomes a line of `nft list`, between quotes that cannot be escaped.
fn check_comment(comment: Option<&str>, path: &Path, problems: &mut Problems) {
    let Some(comment) = comment else { return };
    let path = path.field("comment");
    if comment.is_empty() || comment.len() > LONGEST_COMMENT {
        problems.at(&path, format!("has {} bytes; 1 to {LONGEST_COMMENT} are allowed", comment.len()));
    }
    if comment.contains(|c: char| c.is_control() || c == '"') {
        problems.at(&path, "a quote or a control character cannot stand in it");
    }
}

/// The check of one rule: what its expressions may refer to, and which registers hold something.
pub(crate) struct RuleCheck<'a> {
    /// The table around it.
    pub table: &'a Table,
    path: Path,
    problems: &'a mut Problems,
    loaded: [bool; Register::COUNT],
}

impl RuleCheck<'_> {
    /// Notes a problem with the field `name` of the expression.
    pub fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.problems.at(&self.path.field(name), message);
    }

    /// `length` bytes are loaded to `register`.
    pub fn loads(&mut self, register: Register, length: usize) {
        match self.loaded.get_mut(register.index()..register.index() + length.div_ceil(4)) {
            Some(slots) => slots.fill(true),
            None => self.problem("register", format!("{length} bytes go beyond the last register, 15")),
        }
    }

    /// `length` bytes are taken from `register`.
    pub fn takes(&mut self, register: Register, length: usize) {
        match self.loaded.get(register.index()..register.index() + length.div_ceil(4)) {
            Some(slots) if slots.iter().all(|loaded| *loaded) => {}
            Some(_) => {
                let text = format!(
                    "{length} bytes are taken from register {}, not all loaded before",
                    register.index()
                );
                self.problem("register", text);
            }
            None => self.problem("register", format!("{length} bytes go beyond the last register, 15")),
        }
    }

    /// The set that is looked up by what `register` holds.
    pub fn looks_up(&mut self, field: &str, name: &Name, register: Register) -> Option<&Set> {
        let table = self.table;
        let found = table.sets.get(name);
        match found {
            Some(set) => self.takes(register, DataType::total(&set.key)),
            None => self.problem(field, format!("the table has no set or map {name}")),
        }
        found
    }

    /// A constant of the expression.
    pub fn constant(&mut self, field: &str, bytes: &[u8]) {
        if bytes.is_empty() || bytes.len() > LONGEST_VALUE {
            self.problem(field, format!("has {} bytes; 1 to {LONGEST_VALUE} are allowed", bytes.len()));
        }
    }

    /// Where a verdict goes.
    pub fn verdict(&mut self, verdict: &Verdict) {
        let problem = chain_problem(self.table, verdict);
        if let Some(text) = problem {
            self.problems.at(&self.path, text);
        }
    }
}

fn chain_problem(table: &Table, verdict: &Verdict) -> Option<String> {
    let name = verdict.chain()?;
    match table.chains.get(name) {
        None => Some(format!("the table has no chain {name}")),
        Some(chain) if chain.base.is_some() => {
            Some(format!("chain {name} has a base: packets enter it from the kernel, not from rules"))
        }
        Some(_) => None,
    }
}

/// Whether jumps from `name` go in a circle, or too deep.
fn too_deep(table: &Table, name: &Name, way: &mut Vec<Name>) -> Option<String> {
    if way.first() == Some(name) {
        let way = way.iter().map(Name::as_str).collect::<Vec<_>>().join(" -> ");
        return Some(format!("its jumps go in a circle: {way} -> {name}"));
    }
    if way.contains(name) {
        // Another chain's circle, reported there.
        return None;
    }
    if way.len() > DEEPEST {
        return Some(format!("jumps are more than {DEEPEST} chains deep"));
    }
    way.push(name.clone());
    let found = targets(table, name).iter().find_map(|to| too_deep(table, to, way));
    way.pop();
    found
}

/// The chains that rules of `name` go to, by themselves or by maps.
fn targets(table: &Table, name: &Name) -> BTreeSet<Name> {
    let expressions =
        table.chains.get(name).into_iter().flat_map(|chain| &chain.rules).flat_map(|r| &r.expressions);
    let mut targets = BTreeSet::new();
    for expression in expressions {
        match expression {
            Expr::Verdict(verdict) => targets.extend(verdict.chain().cloned()),
            Expr::VerdictMap(by) => {
                let elements = table.sets.get(&by.map).into_iter().flat_map(|map| &map.elements);
                targets.extend(elements.filter_map(|element| match &element.data {
                    Some(Data::Verdict(verdict)) => verdict.chain().cloned(),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    targets
}

fn check_set(table: &Table, set: &Set, path: &Path, problems: &mut Problems) {
    check_types(&set.key, &path.field("key"), problems);
    if let Some(MapType::Values(types)) = &set.data {
        check_types(types, &path.field("data"), problems);
    }
    if let ([data], true) = (&set.key[..], set.interval)
        && !data.has_order()
    {
        problems.at(&path.field("interval"), format!("values of {data} have no order that the kernel knows"));
    }
    if let Some(stateful) = &set.stateful {
        let path = path.field("stateful");
        stateful.check(&path, problems);
        if set.interval && stateful.is_dynamic() {
            problems.at(&path, format!("a set of intervals cannot have {stateful}"));
        }
        if set.is_dynamic() && !set.elements.is_empty() {
            problems.at(&path, format!("only packets put elements into a set that has {stateful}"));
        }
    }
    // The kernel counts both ends of an interval.
    let needed = set.elements.len() * if set.interval && set.key.len() == 1 { 2 } else { 1 };
    if let Some(size) = set.size.filter(|size| (*size as usize) < needed) {
        problems.at(&path.field("size"), format!("there is room for {size} where {needed} are needed"));
    }
    for element in &set.elements {
        let path = Path::from(format!("{}[{}]", path.field("elements"), element.key));
        check_element(table, set, element, &path, problems);
    }
    for (one, other) in contradictions(set) {
        let path = Path::from(format!("{}[{}]", path.field("elements"), other.key));
        problems.at(&path, format!("overlaps with {}, and the two cannot be merged", one.key));
    }
}

fn check_types(types: &[DataType], path: &Path, problems: &mut Problems) {
    if types.is_empty() || types.len() > DataType::MOST {
        problems.at(path, format!("has {} types; 1 to {} are allowed", types.len(), DataType::MOST));
    }
    let total = DataType::total(types);
    if total > LONGEST_VALUE {
        problems.at(path, format!("has {total} bytes; {LONGEST_VALUE} are the most"));
    }
}

fn check_element(table: &Table, set: &Set, element: &Element, path: &Path, problems: &mut Problems) {
    check_comment(element.comment.as_deref(), path, problems);
    check_values(&set.key, element.key.first(), path, problems);
    if element.key.is_interval() {
        check_values(&set.key, element.key.last(), path, problems);
        let pairs = || element.key.first().iter().zip(element.key.last());
        if !set.interval {
            problems.at(path, "is an interval, but the set is not one of intervals");
        }
        if pairs().any(|(first, last)| last < first) {
            problems.at(path, "ends before it starts");
        }
        if set.key.iter().zip(pairs()).any(|(data, (first, last))| !data.has_order() && first != last) {
            problems.at(path, "is an interval of values that have no order that the kernel knows");
        }
    }
    match (&element.data, &set.data) {
        (None, None) => {}
        (Some(_), None) => problems.at(path, "has data, but the set is no map"),
        (None, Some(_)) => problems.at(path, "has no data, but the set is a map"),
        (Some(Data::Verdict(verdict)), Some(MapType::Verdict)) => {
            if let Some(text) = chain_problem(table, verdict) {
                problems.at(path, text);
            }
        }
        (Some(Data::Values(values)), Some(MapType::Values(types))) => {
            check_values(types, values, &path.field("data"), problems);
        }
        (Some(data), Some(wanted)) => {
            problems.at(path, format!("has the data {data} where {wanted} is wanted"))
        }
    }
}

fn check_values(types: &[DataType], values: &[Value], path: &Path, problems: &mut Problems) {
    if types.len() != values.len() {
        problems.at(path, format!("has {} values where {} are wanted", values.len(), types.len()));
    }
    for (data, value) in types.iter().zip(values).filter(|(data, value)| !value.fits(**data)) {
        problems.at(path, format!("{value} is not {data}"));
    }
}

/// Pairs of intervals that overlap and cannot be merged: of one type with different data, or concatenations.
fn contradictions(set: &Set) -> Vec<(&Element, &Element)> {
    let mut open: Vec<&Element> = Vec::new();
    let mut found = Vec::new();
    for element in set.elements.iter().filter(|_| set.interval) {
        // Elements sort by where they start, first field first: those that end before cannot overlap with this.
        open.retain(|before| before.key.last().first() >= element.key.first().first());
        let overlaps = |before: &&&Element| {
            let mut fields = before
                .key
                .first()
                .iter()
                .zip(before.key.last())
                .zip(element.key.first().iter().zip(element.key.last()));
            fields.all(|((a, b), (c, d))| a <= d && c <= b)
        };
        let merges = |before: &Element| set.key.len() == 1 && before.data == element.data;
        found.extend(open.iter().filter(overlaps).filter(|b| !merges(b)).map(|before| (*before, element)));
        open.push(element);
    }
    found
}
