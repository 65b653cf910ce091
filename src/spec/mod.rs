//! What a host shall have, in the user's words: guests, and for what guests do not cover, objects.

mod bridge;
mod check;
mod checked;
mod firewall;
mod guest;
pub(crate) mod json;
mod nested;
mod own;
pub(crate) mod parse;
mod repair;
mod router;
mod serve;
mod special;
mod taken;
mod words;

use guestnet_core::{Error, LinkName, Path, Problem, Problems};
use guestnet_nat::Mode;
use guestnet_xfrm::Secrets;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use bridge::Bridge;
pub(crate) use check::reqids;
pub use checked::CheckedSpec;
pub use firewall::Firewall;
pub use guest::{Guest, GuestName, Interface, InterfaceKind, LinkLocal, Placement, Transit};
pub use parse::decode;
pub(crate) use router::ROUTER;
pub use serve::Serve;

use crate::objects::Objects;

/// The version of the spec's form. It changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The description of a whole host. What is ours on the host and not in it is removed by an apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    /// The version of this form: 1.
    pub version: u32,
    /// The interface to the outside, on which neighbours are proxied. Not made by guestnet.
    ///
    /// Guests make the host a router, and a router takes no default route from router advertisements. Where the host's
    /// own comes from one, say `{"key": "net/ipv6/conf/UPLINK/accept_ra", "value": "2"}` among the sysctls of
    /// `objects.host`: it is set before forwarding is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<LinkName>,
    /// How addresses are translated, for guests that do not say otherwise.
    #[serde(default, skip_serializing_if = "Nat::is_default")]
    pub nat: Nat,
    /// Networks that guests are in together, in the host's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bridges: Vec<Bridge>,
    /// What may pass, and nothing else; left out, nothing is filtered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<Firewall>,
    /// The guests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<Guest>,
    /// Objects given directly, beside those that follow from the guests.
    #[serde(default, skip_serializing_if = "Objects::is_empty")]
    pub objects: Objects,
}

/// How public addresses are translated to private ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nat {
    /// Whether the kernel may keep state about connections; see [`Mode`].
    #[serde(default)]
    pub mode: Mode,
    /// Destinations to which a guest speaks from its private address. Left out: the private ranges of RFC 1918.
    #[serde(default = "private_ranges")]
    #[schemars(with = "Vec<guestnet_core::schema::IpPrefix>")]
    #[serde(deserialize_with = "guestnet_core::records::distinct")]
    #[schemars(extend("uniqueItems" = true))]
    pub untranslated: Vec<IpNet>,
}

/// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918 section 3).
fn private_ranges() -> Vec<IpNet> {
    let range = |a, b, length| ipnet::Ipv4Net::new_assert([a, b, 0, 0].into(), length).into();
    vec![range(10, 0, 8), range(172, 16, 12), range(192, 168, 16)]
}

impl Default for Nat {
    fn default() -> Self {
        Self { mode: Mode::default(), untranslated: private_ranges() }
    }
}

impl Nat {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            version: VERSION,
            uplink: None,
            nat: Nat::default(),
            bridges: Vec::new(),
            firewall: None,
            guests: Vec::new(),
            objects: Objects::default(),
        }
    }
}

impl HostSpec {
    /// An empty spec: a host without guests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a spec from JSON.
    ///
    /// # Errors
    /// [`Error::Spec`] with every problem of the text, each with its path.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        Self::from_json_with(text, &Secrets::new())
    }

    /// Reads a spec from TOML.
    ///
    /// # Errors
    /// [`Error::Spec`] with every problem of the text, each with its path.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Self::from_toml_with(text, &Secrets::new())
    }

    /// Reads a spec from JSON that names secrets, which are found in `secrets`.
    ///
    /// # Errors
    /// As [`Self::from_json`]; a secret that is not there is a problem of the spec.
    pub fn from_json_with(text: &str, secrets: &Secrets) -> Result<Self, Error> {
        CheckedSpec::from_json(text, secrets).map(CheckedSpec::into_spec)
    }

    /// Reads a spec from TOML that names secrets, which are found in `secrets`.
    ///
    /// # Errors
    /// As [`Self::from_json_with`].
    pub fn from_toml_with(text: &str, secrets: &Secrets) -> Result<Self, Error> {
        CheckedSpec::from_toml(text, secrets).map(CheckedSpec::into_spec)
    }

    /// Reads the secrets that the spec names as files: the one thing that a spec needs from the machine it is on.
    /// [`Self::from_json`] and [`Self::from_toml`] do so; a spec that was built is given its secrets or calls this.
    ///
    /// Returns what could not be read, never with what is in a file.
    #[must_use]
    pub fn load_secrets(&mut self) -> Problems {
        self.load_secrets_with(&Secrets::new())
    }

    /// As [`Self::load_secrets`], and finds the secrets that the spec names in `secrets`.
    #[must_use]
    pub fn load_secrets_with(&mut self, secrets: &Secrets) -> Problems {
        let mut problems = Problems::new();
        for (n, guest) in self.guests.iter_mut().enumerate() {
            for (m, tunnel) in guest.tunnels.iter_mut().enumerate() {
                if let Err(error) = tunnel.load(secrets) {
                    let path = Path::root().field("guests").index(n).field("tunnels").index(m);
                    let field = if tunnel.states.is_some() { "states" } else { "secret" };
                    problems.at(&path.field(field), error.to_string());
                }
            }
        }
        self.objects.load_secrets(secrets, &Path::root().field("objects"), &mut problems);
        problems
    }

    /// What is wrong with the spec; nothing if it can be applied.
    pub fn problems(&self) -> Problems {
        self.lower().map_or_else(problems_of, |_| Problems::new())
    }

    /// What is wrong with the parts of the spec, before they are put together. Public to be measured.
    #[doc(hidden)]
    pub fn checked(&self) -> Problems {
        self.resolve().map_or_else(problems_of, |resolved| resolved.checked())
    }

    /// The JSON Schema of a spec (draft 2020-12).
    pub fn schema() -> schemars::Schema {
        crate::document::Described::Spec.schema()
    }
}

/// What is wrong, where `error` says so.
fn problems_of(error: Error) -> Problems {
    match error {
        Error::Spec(problems) => problems,
        other => [Problem { path: Path::root(), message: other.to_string() }].into_iter().collect(),
    }
}
