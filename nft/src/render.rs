//! Tables as nft text, for review.
//!
//! A rule is read forward: what expressions load is remembered by register, and said when something is done with it.

use std::fmt::Write as _;

use guestnet_core::LinkName;

use crate::expr::{CmpOp, PayloadBase, Register};
use crate::{Chain, DataType, Element, Family, MapType, Name, Rule, Set, Table, Value, ct, interval};

impl Table {
    /// The table as a file for `nft -f`. What nft's grammar cannot say becomes a comment, `# netlink only: …`, so that
    /// loading the text would make less than what this crate makes.
    pub fn to_nft(&self) -> String {
        let mut out = format!("table {} {} {{\n", self.family, self.name);
        let sets = self.sets.iter().map(|set| block(set_lines(set)));
        let chains = self.chains.iter().map(|chain| block(chain_lines(self, chain)));
        out += &sets.chain(chains).collect::<Vec<_>>().join("\n");
        out + "}\n"
    }
}

/// A first line, and others in braces behind it.
fn block((first, lines): (String, Vec<String>)) -> String {
    let lines = lines.iter().map(|line| format!("\t\t{line}\n")).collect::<String>();
    format!("\t{first} {{\n{lines}\t}}\n")
}

fn set_lines(set: &Set) -> (String, Vec<String>) {
    let word = if set.is_map() { "map" } else { "set" };
    let mut kind = format!("type {}", crate::datatype::concatenation(&set.key));
    if let Some(data) = &set.data {
        let _ = write!(kind, " : {data}");
    }
    let mut lines = vec![kind];
    lines.extend(set.interval.then(|| "flags interval".into()));
    if let Some(stateful) = &set.stateful {
        lines.extend(stateful.is_dynamic().then(|| "flags dynamic".into()));
        lines.push(stateful.to_string());
    }
    lines.extend(set.size.map(|size| format!("size {size}")));
    let elements: Vec<String> =
        interval::merged(set).iter().map(|element| element_text(set, element)).collect();
    // nft asks the machine that it is on for the index of an interface.
    let of_links = set.types().any(|data| data == DataType::IfaceIndex);
    if of_links {
        lines.extend(elements.iter().map(|element| format!("# netlink only: {element}")));
    } else if !elements.is_empty() {
        lines.push(format!("elements = {{ {} }}", elements.join(",\n\t\t\t     ")));
    }
    (format!("{word} {}", set.name), lines)
}

fn element_text(set: &Set, element: &Element) -> String {
    let values = element.key.first().iter().zip(&set.key).zip(element.key.texts());
    let field = |((value, data), text): ((&Value, &DataType), String)| match value {
        Value::Ifname(_) => value_text(value, Some(*data)),
        Value::Number(_) if !text.contains('-') => value_text(value, Some(*data)),
        _ => text,
    };
    let mut text = values.map(field).collect::<Vec<_>>().join(" . ");
    if let Some(comment) = &element.comment {
        let _ = write!(text, " comment \"{comment}\"");
    }
    match (&element.data, &set.data) {
        (Some(crate::Data::Values(values)), Some(MapType::Values(types))) => {
            let values: Vec<_> = values.iter().zip(types).map(|(v, t)| value_text(v, Some(*t))).collect();
            let _ = write!(text, " : {}", values.join(" . "));
        }
        (Some(data), _) => {
            let _ = write!(text, " : {data}");
        }
        _ => {}
    }
    text
}

/// The name of a link between quotes. A `*` at its end would be any end.
fn link_text(name: &str) -> String {
    name.strip_suffix('*').map_or_else(|| name.to_owned(), |start| format!("{start}\\*"))
}

fn value_text(value: &Value, data: Option<DataType>) -> String {
    match (value, data) {
        (Value::Ifname(name), _) => format!("\"{}\"", link_text(name.as_str())),
        (Value::Number(n), Some(DataType::Mark)) => format!("{n:#x}"),
        (Value::Number(n), Some(DataType::EtherType)) => format!("{n:#06x}"),
        (value, _) => value.to_string(),
    }
}

fn chain_lines(table: &Table, chain: &Chain) -> (String, Vec<String>) {
    let mut lines = Vec::new();
    if let Some(base) = &chain.base {
        let devices: Vec<String> =
            base.devices.iter().map(|device| format!("\"{}\"", link_text(device.as_str()))).collect();
        let devices = match &devices[..] {
            [] => String::new(),
            [one] => format!(" device {one}"),
            many => format!(" devices = {{ {} }}", many.join(", ")),
        };
        let (kind, hook, priority, policy) = (base.kind, base.hook, base.priority, base.policy);
        lines.push(format!("type {kind} hook {hook}{devices} priority {priority}; policy {policy};"));
    }
    lines.extend(chain.rules.iter().map(|rule| rule_text(table, rule)));
    (format!("chain {}", chain.name), lines)
}

fn rule_text(table: &Table, rule: &Rule) -> String {
    let mut text = Text::new(table);
    rule.expressions.iter().for_each(|expression| expression.render(&mut text));
    if let Some(comment) = &rule.comment {
        text.say(format!("comment \"{comment}\""));
    }
    let words = text.statements.join(" ");
    if text.only_netlink { format!("# netlink only: {words}") } else { words }
}

/// A rule on its way to text.
pub(crate) struct Text<'a> {
    table: &'a Table,
    loaded: [Option<Term>; Register::COUNT],
    statements: Vec<String>,
    only_netlink: bool,
    /// The transport protocol that the rule has matched.
    protocol: Option<u8>,
}

/// What a register holds, in nft's words.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    words: String,
    data: Option<DataType>,
    /// Whether nft, too, takes it for a value of this type, so that sets of it can be asked.
    is_typed: bool,
    length: usize,
    mask: Option<Vec<u8>>,
    kind: TermKind,
}

#[derive(Clone, Debug, PartialEq)]
enum TermKind {
    Value,
    Presence,
    AddressType,
    Mapped,
    Constant(Vec<u8>),
}

impl Term {
    /// A value of the packet.
    pub fn new(words: impl Into<String>, data: Option<DataType>, length: usize) -> Self {
        let is_typed = data.is_some();
        Self { words: words.into(), data, is_typed, length, mask: None, kind: TermKind::Value }
    }

    /// The same where nft has a type of its own for it, whose values read as those of this one.
    pub fn loosely(self) -> Self {
        Self { is_typed: false, ..self }
    }

    /// Whether something is there: 1 or 0.
    pub fn presence(words: impl Into<String>) -> Self {
        Self { kind: TermKind::Presence, ..Self::new(words, None, 1) }
    }

    /// The type of an address (`RTN_*`), which nft has words for.
    pub fn address_type(words: impl Into<String>) -> Self {
        Self { kind: TermKind::AddressType, ..Self::new(words, None, 4) }
    }

    /// What a map gives.
    pub fn mapped(words: impl Into<String>, data: Option<DataType>, length: usize) -> Self {
        Self { kind: TermKind::Mapped, ..Self::new(words, data, length) }
    }

    /// A constant.
    pub fn constant(bytes: &[u8]) -> Self {
        Self { kind: TermKind::Constant(bytes.to_vec()), ..Self::new("", None, bytes.len()) }
    }

    /// Whether nft takes it for a value of `data`.
    fn is_of(&self, data: DataType) -> bool {
        self.is_typed && self.data == Some(data)
    }

    /// Whether nft reads a comparison of it with `bytes`, in their order where `in_order`.
    fn can_be_compared(&self, bytes: &[u8], in_order: bool) -> bool {
        match self.data {
            // A name, or the start of one; nft asks the machine that it is on for an index.
            Some(DataType::Ifname) => {
                let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                let is_name = std::str::from_utf8(name).is_ok_and(|name| name.parse::<LinkName>().is_ok());
                is_name && !in_order
            }
            Some(DataType::IfaceIndex) => false,
            // A bit to nft, a byte to the kernel.
            None if self.words == TRACE => !in_order && bytes.iter().all(|byte| *byte <= 1),
            _ => self.kind == TermKind::Presence || bytes.len() == self.length,
        }
    }

    /// Whether nft takes bits of it.
    fn can_be_masked(&self) -> bool {
        let is_number = !matches!(self.data, Some(DataType::Ifname | DataType::IfaceIndex));
        is_number && matches!(self.kind, TermKind::Value | TermKind::Mapped) && self.words != TRACE
    }

    /// Bytes as a value that this term can be compared with or set to.
    fn value(&self, bytes: &[u8]) -> String {
        match <[u8; 2]>::try_from(bytes) {
            // The kind of a link is in the order of the host, as the kernel has it.
            Ok(kind) if self.words == KIND => u16::from_ne_bytes(kind).to_string(),
            _ => value_of(self.data, bytes),
        }
    }
}

fn value_of(data: Option<DataType>, bytes: &[u8]) -> String {
    if data == Some(DataType::Ifname) {
        let name: Vec<u8> = bytes.iter().copied().take_while(|b| *b != 0).collect();
        let wildcard = if bytes.len() < DataType::Ifname.size() { "*" } else { "" };
        return format!("\"{}{wildcard}\"", link_text(&String::from_utf8_lossy(&name)));
    }
    match data.and_then(|data| data.read(bytes)) {
        Some(value) => value_text(&value, data),
        None if bytes.len() == 1 => bytes.first().map_or_else(String::new, u8::to_string),
        None => format!("0x{}", crate::expr::Bytes::from(bytes)),
    }
}

impl<'a> Text<'a> {
    /// A rule of `table` of which nothing has been said yet.
    pub fn new(table: &'a Table) -> Self {
        Self {
            table,
            loaded: Default::default(),
            statements: Vec::new(),
            only_netlink: false,
            protocol: None,
        }
    }

    /// What has been said.
    pub fn finish(self) -> String {
        self.statements.join(" ")
    }

    /// The words for what `register` holds.
    pub fn words(&self, register: Register) -> String {
        self.term(register.index()).words
    }

    /// `register` now holds what a map gives, of which only the words are known.
    pub fn mapped(&mut self, register: Register, words: String) {
        self.load(register, Term::mapped(words, None, 4));
    }

    /// The family of the table.
    pub fn family(&self) -> Family {
        self.table.family
    }

    /// Adds a statement.
    pub fn say(&mut self, words: impl Into<String>) {
        self.statements.push(words.into());
    }

    /// nft's grammar has no words for this rule.
    pub fn only_netlink(&mut self) {
        self.only_netlink = true;
    }

    /// `register` now holds `term`.
    pub fn load(&mut self, register: Register, term: Term) {
        if let Some(slot) = self.loaded.get_mut(register.index()) {
            *slot = Some(term);
        }
    }

    fn term(&self, slot: usize) -> Term {
        let loaded = self.loaded.get(slot).cloned().flatten();
        loaded.unwrap_or_else(|| Term::new(format!("(register {slot})"), None, 4))
    }

    /// What `register` holds, to be put where `length` bytes of type `data` stand.
    pub fn take(&mut self, register: Register, data: Option<DataType>, length: usize) -> String {
        let term = self.term(register.index());
        let is_constant = matches!(term.kind, TermKind::Constant(_));
        let fits = is_constant || data.is_none_or(|data| term.is_of(data));
        self.only_netlink |= term.length != length || !fits;
        match &term.kind {
            TermKind::Constant(bytes) => value_of(data, bytes),
            _ => term.words,
        }
    }

    /// The constant in `register`, where one is there.
    pub fn constant(&self, register: Register) -> Option<Vec<u8>> {
        match self.term(register.index()).kind {
            TermKind::Constant(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The key for the set `name`, from `register` on.
    pub fn key(&mut self, name: &Name, register: Register) -> String {
        let types = self.table.sets.get(name).map_or(&[][..], |set| &set.key);
        let length = DataType::total(types);
        let (mut slot, end) = (register.index(), register.index() + length.div_ceil(4));
        let mut words = Vec::new();
        while slot < end.min(Register::COUNT) {
            let term = self.term(slot);
            slot += term.length.div_ceil(4).max(1);
            words.push(term);
        }
        let same =
            words.len() == types.len() && words.iter().zip(types).all(|(term, data)| term.is_of(*data));
        self.only_netlink |= !same;
        if let [one] = &words[..] {
            return one.words.clone();
        }
        // nft takes masked fields in a concatenation only in newer versions.
        let masked = words.iter().any(|term| term.mask.is_some());
        self.only_netlink |= masked;
        let field = |term: &Term| match term.mask {
            Some(_) => format!("({})", term.words),
            None => term.words.clone(),
        };
        words.iter().map(field).collect::<Vec<_>>().join(" . ")
    }

    /// The types of the data of the map `name`.
    pub fn data(&self, name: &Name) -> Vec<DataType> {
        match self.table.sets.get(name).and_then(|set| set.data.clone()) {
            Some(MapType::Values(types)) => types.to_vec(),
            _ => Vec::new(),
        }
    }

    /// `register & mask ^ xor`
    pub fn bits(&mut self, register: Register, to: Register, mask: &[u8], xor: &[u8]) {
        let mut term = self.term(register.index());
        self.only_netlink |= !term.can_be_masked();
        let is_or = xor.iter().zip(mask).all(|(xor, mask)| xor & mask == 0);
        let has_xor = xor.iter().any(|b| *b != 0);
        let mask_words = term.value(mask);
        term.words = format!("{} & {mask_words}", term.words);
        if has_xor {
            let _ = write!(term.words, " {} {}", if is_or { '|' } else { '^' }, value_of(term.data, xor));
            term.mask = None;
        } else {
            term.mask = Some(mask.to_vec());
        }
        self.load(to, term);
    }

    /// `register OP bytes`
    pub fn compare(&mut self, register: Register, op: CmpOp, bytes: &[u8]) {
        let term = self.term(register.index());
        if term.words == "meta l4proto" && op == CmpOp::Eq {
            self.protocol = bytes.first().copied();
        }
        let in_order = !matches!(op, CmpOp::Eq | CmpOp::Ne);
        // nft lists a comparison of what a map gives and does not read it.
        self.only_netlink |= term.kind == TermKind::Mapped || !term.can_be_compared(bytes, in_order);
        if term.kind == TermKind::Presence {
            let zero = bytes.iter().all(|byte| *byte == 0);
            let there = zero != (op == CmpOp::Eq);
            self.only_netlink |= in_order;
            return self.say(format!("{} {}", term.words, if there { "exists" } else { "missing" }));
        }
        if term.kind == TermKind::AddressType {
            let number = <[u8; 4]>::try_from(bytes).map(u32::from_ne_bytes).ok();
            let word = number.and_then(|n| ADDRESS_TYPES.get(n as usize));
            self.only_netlink |= word.is_none() || in_order;
            let sign = if op == CmpOp::Ne { " !=" } else { "" };
            return self.say(format!("{}{sign} {}", term.words, word.unwrap_or(&"(unknown)")));
        }
        if let (Some(mask), CmpOp::Ne, true) = (&term.mask, op, bytes.iter().all(|b| *b == 0))
            && let Some(states) = states(&term, mask)
        {
            return self.say(states);
        }
        let sign = match op {
            CmpOp::Eq if term.mask.is_some() => " ==",
            CmpOp::Eq => "",
            CmpOp::Ne => " !=",
            CmpOp::Lt => " <",
            CmpOp::Le => " <=",
            CmpOp::Gt => " >",
            CmpOp::Ge => " >=",
        };
        self.say(format!("{}{sign} {}", term.words, term.value(bytes)));
    }

    /// `register first-last`
    pub fn range(&mut self, register: Register, first: &[u8], last: &[u8], invert: bool) {
        let term = self.term(register.index());
        self.only_netlink |= term.kind != TermKind::Value || !term.can_be_compared(first, true);
        let sign = if invert { " !=" } else { "" };
        self.say(format!("{}{sign} {}-{}", term.words, term.value(first), term.value(last)));
    }

    /// Bytes of the packet by nft's name for the field, and their type.
    pub fn field(&self, base: PayloadBase, offset: u32, length: u32) -> (String, Option<DataType>) {
        let known = FIELDS.iter().find(|known| {
            let of_family = match known.words.split(' ').next() {
                Some("arp") => self.family() == Family::Arp,
                Some("ip") => self.family() != Family::Arp && self.family() != Family::Ip6,
                Some("ip6") => self.family() != Family::Arp && self.family() != Family::Ip,
                _ => true,
            };
            let of_protocol = known.protocol.is_none() || known.protocol == self.protocol;
            (known.base, known.offset, known.length) == (base, offset, length) && of_family && of_protocol
        });
        if let Some(known) = known {
            return (known.words.into(), known.data);
        }
        let base = match base {
            PayloadBase::Link => "ll",
            PayloadBase::Network => "nh",
            PayloadBase::Transport => "th",
            PayloadBase::Inner => "ih",
        };
        (format!("@{base},{},{}", u64::from(offset) * 8, u64::from(length) * 8), None)
    }
}

/// `ct state established,related`, where that is what is masked.
fn states(term: &Term, mask: &[u8]) -> Option<String> {
    if !term.words.starts_with("ct state &") {
        return None;
    }
    let mut bits = u32::from_ne_bytes(mask.try_into().ok()?);
    let names = [
        (ct::INVALID, "invalid"),
        (ct::ESTABLISHED, "established"),
        (ct::RELATED, "related"),
        (ct::NEW, "new"),
        (ct::UNTRACKED, "untracked"),
    ];
    let mut words = Vec::new();
    for (bit, name) in names {
        if bits & bit != 0 {
            bits &= !bit;
            words.push(name);
        }
    }
    (bits == 0 && !words.is_empty()).then(|| format!("ct state {}", words.join(",")))
}

/// nft's words for the types of addresses, in the order of the kernel's numbers (`RTN_*`).
const ADDRESS_TYPES: [&str; 9] = [
    "unspec",
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
];

/// The kind of the link that a packet came from.
pub(crate) const KIND: &str = "iiftype";
/// Whether a packet is traced.
pub(crate) const TRACE: &str = "meta nftrace";

/// A header field that nft has a name for.
struct Known {
    base: PayloadBase,
    offset: u32,
    length: u32,
    words: &'static str,
    data: Option<DataType>,
    /// The transport protocol that must have been matched before.
    protocol: Option<u8>,
}

const fn known(
    base: PayloadBase,
    offset: u32,
    length: u32,
    words: &'static str,
    data: Option<DataType>,
) -> Known {
    Known { base, offset, length, words, data, protocol: None }
}

const FIELDS: &[Known] = &[
    known(PayloadBase::Link, 0, 6, "ether daddr", Some(DataType::EtherAddr)),
    known(PayloadBase::Link, 6, 6, "ether saddr", Some(DataType::EtherAddr)),
    known(PayloadBase::Link, 12, 2, "ether type", Some(DataType::EtherType)),
    known(PayloadBase::Network, 6, 2, "arp operation", Some(DataType::ArpOp)),
    known(PayloadBase::Network, 8, 6, "arp saddr ether", Some(DataType::EtherAddr)),
    known(PayloadBase::Network, 14, 4, "arp saddr ip", Some(DataType::Ipv4Addr)),
    known(PayloadBase::Network, 18, 6, "arp daddr ether", Some(DataType::EtherAddr)),
    known(PayloadBase::Network, 24, 4, "arp daddr ip", Some(DataType::Ipv4Addr)),
    known(PayloadBase::Network, 9, 1, "ip protocol", Some(DataType::InetProto)),
    known(PayloadBase::Network, 12, 4, "ip saddr", Some(DataType::Ipv4Addr)),
    known(PayloadBase::Network, 16, 4, "ip daddr", Some(DataType::Ipv4Addr)),
    known(PayloadBase::Network, 7, 1, "ip6 hoplimit", None),
    known(PayloadBase::Network, 8, 16, "ip6 saddr", Some(DataType::Ipv6Addr)),
    known(PayloadBase::Network, 24, 16, "ip6 daddr", Some(DataType::Ipv6Addr)),
    known(PayloadBase::Transport, 0, 2, "th sport", Some(DataType::InetService)),
    known(PayloadBase::Transport, 2, 2, "th dport", Some(DataType::InetService)),
    Known { protocol: Some(1), ..known(PayloadBase::Transport, 0, 1, "icmp type", Some(DataType::IcmpType)) },
    Known { protocol: Some(1), ..known(PayloadBase::Transport, 1, 1, "icmp code", Some(DataType::IcmpCode)) },
    Known {
        protocol: Some(58),
        ..known(PayloadBase::Transport, 0, 1, "icmpv6 type", Some(DataType::Icmpv6Type))
    },
    Known {
        protocol: Some(58),
        ..known(PayloadBase::Transport, 1, 1, "icmpv6 code", Some(DataType::Icmpv6Code))
    },
    Known { protocol: Some(6), ..known(PayloadBase::Transport, 13, 1, "tcp flags", None) },
];
