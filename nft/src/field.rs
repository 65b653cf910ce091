//! Statements about packets that read like nft:
//!
//! ```
//! use guestnet_nft::{Rule, ip, statement};
//! # fn main() -> Result<(), String> {
//! // ip saddr @outbound ip daddr != @untranslated ip saddr set ip saddr map @outbound notrack
//! let rule = Rule::new()
//!     .with(ip::daddr().not_in("untranslated".parse()?))
//!     .with(ip::saddr().set(ip::saddr().map("outbound".parse()?)))
//!     .with(statement::notrack());
//! # assert_eq!(rule.expressions.len(), 6);
//! # Ok(())
//! # }
//! ```
//!
//! Unlike nft, nothing is added behind one's back: in a table of family `inet`, match [`meta::nfproto`] before an
//! address of one family, and [`meta::l4proto`] before a port or an ICMP type.

use crate::expr::{
    Bitwise, Bytes, Cmp, CmpOp, Ct, CtDirection, CtKey, CtSet, Dynset, Expr, Exthdr, ExthdrKind, Immediate,
    Lookup, Map, Meta, MetaKey, MetaSet, Payload, PayloadBase, PayloadWrite, Range, Register, VerdictMap,
};
use crate::{DataType, Name, Statement, Value};

/// One thing about a packet: a header field, its mark, its connection's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub(crate) source: Source,
    pub(crate) data: Option<DataType>,
    pub(crate) length: usize,
    pub(crate) mask: Option<Bytes>,
}

/// One field, or several in a concatenation: what is looked up in a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Load(Vec<Field>);

/// What a field is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A constant.
    Value(Value),
    /// Another field, or what is left of it behind its mask.
    Field(Field),
    /// What a map has for a key.
    Map(Load, Name),
}

/// Where a field is found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Payload { base: PayloadBase, offset: u32, checksum: Option<u32>, pseudo_header: bool },
    Meta(MetaKey),
    Ct(CtKey, Option<CtDirection>),
    Exthdr(u8),
}

impl Field {
    /// The field & `mask`, a value of the field's type.
    #[must_use]
    pub fn masked(mut self, mask: impl Into<Value>) -> Self {
        self.mask = Some(self.bytes(&mask.into()));
        self
    }

    /// The first `bits` bits of the field, the rest zero. With a set of values (not intervals) this looks a prefix
    /// up in a hash: one set for each length of prefixes.
    #[must_use]
    pub fn prefix(mut self, bits: u8) -> Self {
        self.mask = Some(Bytes::prefix(bits.into(), self.length));
        self
    }

    /// The concatenation `self . next`.
    pub fn then(self, next: Field) -> Load {
        Load(vec![self, next])
    }

    /// `self == value`
    pub fn eq(self, value: impl Into<Value>) -> Statement {
        self.compare(CmpOp::Eq, value)
    }

    /// `self != value`
    pub fn ne(self, value: impl Into<Value>) -> Statement {
        self.compare(CmpOp::Ne, value)
    }

    /// `self < value`
    pub fn lt(self, value: impl Into<Value>) -> Statement {
        self.compare(CmpOp::Lt, value)
    }

    /// `self <= value`
    pub fn le(self, value: impl Into<Value>) -> Statement {
        self.compare(CmpOp::Le, value)
    }

    /// `self > value`
    pub fn gt(self, value: impl Into<Value>) -> Statement {
        self.compare(CmpOp::Gt, value)
    }

    /// `self >= value`
    pub fn ge(self, value: impl Into<Value>) -> Statement {
        self.compare(CmpOp::Ge, value)
    }

    /// `self first-last`, both included.
    pub fn within(self, first: impl Into<Value>, last: impl Into<Value>) -> Statement {
        self.range(first, last, false)
    }

    /// `self != first-last`, both included.
    pub fn not_within(self, first: impl Into<Value>, last: impl Into<Value>) -> Statement {
        self.range(first, last, true)
    }

    /// Whether any of `bits` is set: `ct state established,related`.
    pub fn has(self, bits: impl Into<Value>) -> Statement {
        let masked = self.masked(bits);
        let zero = Bytes(vec![0; masked.length]);
        masked.load_then(Cmp { op: CmpOp::Ne, data: zero, register: Register::default() })
    }

    /// Whether a name starts so: `iifname "tap*"`.
    pub fn starts_with(self, text: &str) -> Statement {
        let data = Bytes(text.as_bytes().iter().copied().take(15).collect());
        self.load_then(Cmp { op: CmpOp::Eq, data, register: Register::default() })
    }

    /// `add @set { self }`
    pub fn added_to(self, set: Name) -> Statement {
        Load::from(self).added_to(set)
    }

    /// `self @set`
    pub fn is_in(self, set: Name) -> Statement {
        Load::from(self).is_in(set)
    }

    /// `self != @set`
    pub fn not_in(self, set: Name) -> Statement {
        Load::from(self).not_in(set)
    }

    /// `self map @map`: for [`Self::set`].
    pub fn map(self, map: Name) -> Operand {
        Operand::Map(self.into(), map)
    }

    /// `self vmap @map`
    pub fn vmap(self, map: Name) -> Statement {
        Load::from(self).vmap(map)
    }

    /// `self set …`. The mask of the field is ignored. Of what conntrack and the kernel know, only marks can be set;
    /// the kernel refuses others.
    pub fn set(self, to: impl Into<Operand>) -> Statement {
        let mut statement = match to.into() {
            Operand::Value(value) => {
                vec![Immediate { data: self.bytes(&value), register: Register::default() }.into()]
            }
            Operand::Field(field) => field.load(0),
            Operand::Map(key, map) => {
                let mut statement = key.load();
                statement.push(Map { map, register: Register::default(), to: Register::default() }.into());
                statement
            }
        };
        statement.push(self.store());
        statement
    }

    /// Sets the bits of `mask` to those of `value`, which has no others, and leaves the rest:
    /// `meta mark set meta mark & ~MASK | VALUE`.
    pub fn set_bits(self, mask: impl Into<Value>, value: impl Into<Value>) -> Statement {
        let mut mask = self.bytes(&mask.into());
        mask.0.iter_mut().for_each(|byte| *byte = !*byte);
        let xor = self.bytes(&value.into());
        let register = Register::default();
        let mut statement = Self { mask: None, ..self.clone() }.load(0);
        statement.push(Bitwise { mask, xor, register, to: register }.into());
        statement.push(self.store());
        statement
    }

    fn compare(self, op: CmpOp, value: impl Into<Value>) -> Statement {
        let data = self.bytes(&value.into());
        self.load_then(Cmp { op, data, register: Register::default() })
    }

    fn range(self, first: impl Into<Value>, last: impl Into<Value>, invert: bool) -> Statement {
        let (first, last) = (self.bytes(&first.into()), self.bytes(&last.into()));
        self.load_then(Range { first, last, invert, register: Register::default() })
    }

    fn load_then(self, next: impl Into<Expr>) -> Statement {
        let mut statement = self.load(0);
        statement.push(next.into());
        statement
    }

    /// The bytes of `value` as this field has them.
    fn bytes(&self, value: &Value) -> Bytes {
        match (self.data, value) {
            (Some(data), _) => Bytes(value.bytes(data)),
            (None, Value::Number(n)) => {
                let mut bytes = vec![0; self.length];
                bytes.iter_mut().rev().zip(n.to_le_bytes()).for_each(|(to, from)| *to = from);
                if cfg!(target_endian = "little") && self.source == Source::Meta(MetaKey::Iiftype) {
                    bytes.reverse();
                }
                Bytes(bytes)
            }
            (None, Value::Ipv4(ip)) => Bytes(ip.octets().to_vec()),
            (None, Value::Ipv6(ip)) => Bytes(ip.octets().iter().copied().take(self.length).collect()),
            (None, Value::Ether(mac)) => Bytes(mac.to_vec()),
            (None, Value::Ifname(name)) => Bytes(name.as_str().as_bytes().to_vec()),
        }
    }

    fn load(self, slot: usize) -> Statement {
        // A slot too many is reported by the check of the table: there the register is one that is in use.
        let register = Register::new(slot).unwrap_or_default();
        let length = self.length as u32;
        let mut statement = vec![match self.source {
            Source::Payload { base, offset, .. } => Payload { base, offset, length, register }.into(),
            Source::Meta(key) => Meta { key, register }.into(),
            Source::Ct(key, direction) => Ct { key, direction, register }.into(),
            Source::Exthdr(header) => {
                Exthdr { kind: ExthdrKind::Ipv6, header, exists: true, offset: 0, length, register }.into()
            }
        }];
        if let Some(mask) = self.mask {
            let xor = Bytes(vec![0; mask.0.len()]);
            statement.push(Bitwise { mask, xor, register, to: register }.into());
        }
        statement
    }

    fn store(self) -> Expr {
        let register = Register::default();
        let length = self.length as u32;
        match self.source {
            Source::Payload { base, offset, checksum, pseudo_header } => {
                PayloadWrite { base, offset, length, register, checksum, pseudo_header }.into()
            }
            Source::Meta(key) => MetaSet { key, register }.into(),
            Source::Ct(key, _) => CtSet { key, register }.into(),
            Source::Exthdr(_) => MetaSet { key: MetaKey::Mark, register }.into(),
        }
    }
}

impl Load {
    /// The concatenation `self . next`.
    #[must_use]
    pub fn then(mut self, next: Field) -> Self {
        self.0.push(next);
        self
    }

    /// `self @set`
    pub fn is_in(self, set: Name) -> Statement {
        self.lookup(Lookup { set, invert: false, register: Register::default() })
    }

    /// `self != @set`
    pub fn not_in(self, set: Name) -> Statement {
        self.lookup(Lookup { set, invert: true, register: Register::default() })
    }

    /// `add @set { self }`
    pub fn added_to(self, set: Name) -> Statement {
        self.lookup(Dynset { set, register: Register::default() })
    }

    /// `self map @map`: for [`Field::set`].
    pub fn map(self, map: Name) -> Operand {
        Operand::Map(self, map)
    }

    /// `self vmap @map`
    pub fn vmap(self, map: Name) -> Statement {
        self.lookup(VerdictMap { map, register: Register::default() })
    }

    fn lookup(self, by: impl Into<Expr>) -> Statement {
        let mut statement = self.load();
        statement.push(by.into());
        statement
    }

    fn load(self) -> Statement {
        let mut slot = 0;
        let mut statement = Vec::new();
        for field in self.0 {
            let slots = field.length.div_ceil(4);
            statement.extend(field.load(slot));
            slot += slots;
        }
        statement
    }
}

impl From<Field> for Load {
    fn from(field: Field) -> Self {
        Self(vec![field])
    }
}

impl From<Field> for Operand {
    fn from(field: Field) -> Self {
        Self::Field(field)
    }
}

impl<T: Into<Value>> From<T> for Operand {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

impl Field {
    /// Says what the bytes are; the length becomes that of the type.
    #[must_use]
    pub fn typed(self, data: DataType) -> Self {
        Self { data: Some(data), length: data.size(), ..self }
    }

    /// Says where the Internet checksum lies that covers the bytes, `offset` bytes behind the field's base. No effect
    /// on what is no part of the packet.
    #[must_use]
    pub fn checksum(mut self, offset: u32) -> Self {
        if let Source::Payload { checksum, .. } = &mut self.source {
            *checksum = Some(offset);
        }
        self
    }

    /// Keeps the first `bytes` bytes, 1 to as many as there are: for [`Field::set`].
    #[must_use]
    pub fn first_bytes(self, bytes: u8) -> Self {
        let length = usize::from(bytes).clamp(1, self.length);
        Self { data: None, length, ..self }
    }
}
