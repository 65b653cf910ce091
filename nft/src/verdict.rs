//! What becomes of a packet.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Name;

/// A verdict. As text it reads as in nft: `accept`, `jump guests`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Verdict {
    /// The packet passes this hook's chains of this priority.
    Accept,
    /// The packet is gone.
    Drop,
    /// The next rule decides.
    Continue,
    /// Back to the chain that jumped here; in a base chain the policy decides.
    Return,
    /// On to a chain, and back here when that returns.
    Jump(Name),
    /// On to a chain, never back here.
    Goto(Name),
}

impl Verdict {
    /// The kernel's number: `NF_DROP`, `NFT_JUMP`, ….
    pub fn number(&self) -> i32 {
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Continue => -1,
            Self::Jump(_) => -3,
            Self::Goto(_) => -4,
            Self::Return => -5,
        }
    }

    /// The verdict with the kernel's number, and for jumps the chain.
    pub fn from_number(number: i32, chain: Option<&str>) -> Option<Self> {
        match (number, chain.map(str::parse)) {
            (0, None) => Some(Self::Drop),
            (1, None) => Some(Self::Accept),
            (-1, None) => Some(Self::Continue),
            (-3, Some(Ok(chain))) => Some(Self::Jump(chain)),
            (-4, Some(Ok(chain))) => Some(Self::Goto(chain)),
            (-5, None) => Some(Self::Return),
            _ => None,
        }
    }

    /// The chain that a packet goes to.
    pub fn chain(&self) -> Option<&Name> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Continue => f.write_str("continue"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let chain = |name: &str| name.parse().map_err(|e| format!("{text:?}: {e}"));
        match text {
            "accept" => Ok(Self::Accept),
            "drop" => Ok(Self::Drop),
            "continue" => Ok(Self::Continue),
            "return" => Ok(Self::Return),
            _ => match text.split_once(' ') {
                Some(("jump", name)) => Ok(Self::Jump(chain(name)?)),
                Some(("goto", name)) => Ok(Self::Goto(chain(name)?)),
                _ => Err(format!(
                    "{text:?} is no verdict: accept, drop, continue, return, jump CHAIN or goto CHAIN"
                )),
            },
        }
    }
}

impl TryFrom<String> for Verdict {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Verdict> for String {
    fn from(verdict: Verdict) -> Self {
        verdict.to_string()
    }
}

impl schemars::JsonSchema for Verdict {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Verdict".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let pattern = "^(accept|drop|continue|return|(jump|goto) [a-z][a-z0-9_]*)$";
        schemars::json_schema!({ "type": "string", "pattern": pattern })
    }
}
