//! Reading attributes of nf_tables. Whatever the kernel sends: nothing here panics.

use guestnet_core::netlink::Attributes;

use crate::Verdict;
use crate::uapi::{NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE};

/// The attributes of something of nf_tables, whose numbers are in the byte order of the network.
#[derive(Clone, Copy, Debug)]
pub struct View<'a>(Attributes<'a>);

impl Default for View<'_> {
    fn default() -> Self {
        Self::inside(&[])
    }
}

impl<'a> View<'a> {
    /// What a message says of something.
    pub fn new(attributes: Attributes<'a>) -> Self {
        Self(attributes)
    }

    /// What the value of an attribute says, in which there are attributes.
    pub fn inside(value: &'a [u8]) -> Self {
        Self(Attributes::after(value, 0))
    }

    /// All attributes, as they stand there.
    pub fn each(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        self.0
    }

    /// An attribute as it stands there.
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.get(kind)
    }

    /// An attribute that is a number of 1 to 8 bytes.
    pub fn number(&self, kind: u16) -> Option<u64> {
        let bytes = self.get(kind).filter(|bytes| (1..=8).contains(&bytes.len()))?;
        Some(bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    /// An attribute that is a number of 1 to 4 bytes.
    pub fn u32(&self, kind: u16) -> Option<u32> {
        self.number(kind)?.try_into().ok()
    }

    /// An attribute that is a text, up to its NUL.
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        self.0.get_str(kind)
    }

    /// The attributes inside an attribute.
    pub fn nested(&self, kind: u16) -> Option<View<'a>> {
        self.get(kind).map(Self::inside)
    }

    /// The members of a list, each of which has attributes.
    pub fn list(&self, kind: u16) -> impl Iterator<Item = View<'a>> + use<'a> {
        let members = self.nested(kind).unwrap_or_default();
        members.each().map(|(_, value)| Self::inside(value))
    }

    /// All attributes, which are texts.
    pub fn texts(&self) -> Vec<&'a str> {
        let text = |value: &'a [u8]| std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok();
        self.each().filter_map(|(_, value)| text(value)).collect()
    }

    /// An attribute that holds the value of a register: 1 to 64 bytes.
    pub fn value(&self, kind: u16) -> Option<&'a [u8]> {
        self.nested(kind)?.register()
    }

    /// The value of a register, which these attributes are: 1 to 64 bytes.
    pub fn register(&self) -> Option<&'a [u8]> {
        self.get(NFTA_DATA_VALUE).filter(|value| (1..=64).contains(&value.len()))
    }

    /// The verdict that stands where otherwise a value does.
    pub fn verdict(&self) -> Option<Verdict> {
        let verdict = self.nested(NFTA_DATA_VERDICT)?;
        Verdict::from_number(verdict.u32(NFTA_VERDICT_CODE)?.cast_signed(), verdict.text(NFTA_VERDICT_CHAIN))
    }
}
