//! Attributes of links for which there is no field: those that are not as the kernel has them for a new link are found, and
//! given back what is usual.

use std::fmt;

use netlink_packet_core::DefaultNla;

use crate::netlink::Attributes;

/// An attribute, and what a new link has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Usual {
    pub(super) number: u16,
    /// Its name in ip-link(8) and bridge(8).
    pub(super) name: &'static str,
    pub(super) value: &'static [u8],
    /// Whether it is a set of bits, to be given with a mask of those that are meant (`struct br_boolopt_multi`).
    pub(super) masked: bool,
}

impl Usual {
    pub(super) const fn new(number: u16, name: &'static str, value: &'static [u8]) -> Self {
        Self { number, name, value, masked: false }
    }
}

/// Attributes that are not as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unusual(Vec<(&'static Usual, Box<[u8]>)>);

impl Unusual {
    /// Reads the attributes of `table` that `data` has with another value.
    pub(super) fn read(data: Attributes<'_>, table: &'static [Usual]) -> Self {
        let found = data.filter_map(|(number, value)| {
            let usual = table.iter().find(|usual| usual.number == number)?;
            let value = value.get(..usual.value.len())?;
            (value != usual.value).then(|| (usual, value.into()))
        });
        Self(found.collect())
    }

    /// Adds one that no table decides.
    pub(super) fn note(&mut self, usual: &'static Usual, value: u8) {
        self.0.push((usual, [value].into()));
    }

    /// Attributes that give each its usual value back.
    pub(super) fn mended(&self) -> impl Iterator<Item = DefaultNla> {
        self.0.iter().map(|(usual, found)| {
            let mut value = usual.value.to_vec();
            if usual.masked {
                value.extend_from_slice(found);
            }
            DefaultNla::new(usual.number, value)
        })
    }
}

/// A blank before each, and numbers as ip-link(8) takes them.
impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (usual, value) in &self.0 {
            write!(f, " {} ", usual.name)?;
            match &value[..] {
                [byte] => write!(f, "{byte}")?,
                &[a, b] => write!(f, "{}", u16::from_ne_bytes([a, b]))?,
                &[a, b, c, d] => write!(f, "{}", u32::from_ne_bytes([a, b, c, d]))?,
                &[a, b, c, d, e, g, h, i] => write!(f, "{}", u64::from_ne_bytes([a, b, c, d, e, g, h, i]))?,
                other => {
                    for byte in other {
                        write!(f, "{byte:02x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
