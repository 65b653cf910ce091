//! The registers of the nf_tables machine.

use serde::{Deserialize, Serialize};

/// A register: one of 16 slots of 4 bytes (`NFT_REG32_00` to `NFT_REG32_15`). A longer value goes on in the next
/// ones, each value of a concatenation starts in a slot of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Register(u8);

impl Register {
    /// How many there are.
    pub const COUNT: usize = 16;

    /// The register with `index`, 0 to 15.
    pub fn new(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|i| usize::from(*i) < Self::COUNT).map(Self)
    }

    /// 0 to 15.
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// The kernel's number. The kernel names every fourth register as one of the older registers of 16 bytes
    /// (`NFT_REG_1` is 1), and so does nft.
    pub fn number(self) -> u32 {
        let index = u32::from(self.0);
        if index % 4 == 0 { index / 4 + 1 } else { index + 8 }
    }

    /// The register with the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            1..=4 => Self::new((number as usize - 1) * 4),
            8..=23 => Self::new(number as usize - 8),
            _ => None,
        }
    }

    /// Whether it is the first, as when nothing is said.
    pub(crate) fn is_first(&self) -> bool {
        self.0 == 0
    }
}

impl TryFrom<u8> for Register {
    type Error = String;
    fn try_from(index: u8) -> Result<Self, String> {
        Self::new(index.into()).ok_or_else(|| format!("there is no register {index}: they are 0 to 15"))
    }
}

impl From<Register> for u8 {
    fn from(register: Register) -> Self {
        register.0
    }
}

impl schemars::JsonSchema for Register {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Register".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 0, "maximum": 15 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(Register(0).number(), 1);
        assert_eq!(Register(1).number(), 9);
        assert_eq!(Register(4).number(), 2);
        for index in 0..16 {
            let register = Register::new(index).unwrap();
            assert_eq!(Register::from_number(register.number()), Some(register));
            assert_eq!(Register::from_number(index as u32 + 8), Some(register));
        }
        assert_eq!(Register::from_number(0), None, "the verdict");
    }
}
