//! A spec that was checked, with the objects that it comes to.

use std::ops::Deref;
use std::sync::Arc;

use guestnet_core::{Error, Problems};
use guestnet_xfrm::Secrets;
use serde::Deserialize;

use super::{HostSpec, parse};
use crate::lower::Lowered;
use crate::objects::Objects;
use crate::plan::Plan;
use crate::snapshot::Snapshot;

/// A spec that was checked, with the objects that it comes to. It is read like a [`HostSpec`] and cannot be changed, so what
/// was found out about it stays true: [`Host::prepare`](crate::Host::prepare) hands it on, and the spec is not checked and
/// lowered a second time.
///
/// A copy costs nothing.
#[derive(Clone, Debug)]
pub struct CheckedSpec {
    pub(crate) spec: Arc<HostSpec>,
    pub(crate) lowered: Arc<Lowered>,
}

impl CheckedSpec {
    /// Reads a spec from JSON; secrets that it names are found in `secrets`.
    ///
    /// # Errors
    /// As [`HostSpec::from_json_with`].
    pub fn from_json(text: &str, secrets: &Secrets) -> Result<Self, Error> {
        parse::from_json::<Read>(text, secrets)?.try_into()
    }

    /// Reads a spec from TOML; secrets that it names are found in `secrets`.
    ///
    /// # Errors
    /// As [`HostSpec::from_toml_with`].
    pub fn from_toml(text: &str, secrets: &Secrets) -> Result<Self, Error> {
        parse::from_toml::<Read>(text, secrets)?.try_into()
    }

    /// All the objects that the spec asks for.
    pub fn objects(&self) -> &Objects {
        &self.lowered.objects
    }

    /// The changes that would make a host with the objects `there`, as [`Host::observe`](crate::Host::observe) returns them, as
    /// this spec wants it. Asks no kernel, so it is the same on every machine; of others it knows nothing.
    ///
    /// # Errors
    /// When tunnels cannot be taken to the generation that is there.
    pub fn plan_from(&self, there: &Objects) -> Result<Plan, Error> {
        let there = Snapshot::of(there);
        Ok(Plan::between(self.lowered.settled(&there)?.as_ref(), &there))
    }

    /// The spec, to be changed.
    pub fn into_spec(self) -> HostSpec {
        Arc::unwrap_or_clone(self.spec)
    }
}

impl Deref for CheckedSpec {
    type Target = HostSpec;

    fn deref(&self) -> &HostSpec {
        &self.spec
    }
}

impl TryFrom<HostSpec> for CheckedSpec {
    type Error = Error;

    /// Checks `spec`.
    ///
    /// # Errors
    /// [`Error::Spec`] when it is wrong, with every problem.
    fn try_from(spec: HostSpec) -> Result<Self, Error> {
        Read { spec, lowered: None }.try_into()
    }
}

/// A spec that is being read. Its check puts it together, and what comes of that is kept.
#[derive(Deserialize)]
#[serde(transparent)]
struct Read {
    spec: HostSpec,
    #[serde(skip)]
    lowered: Option<Lowered>,
}

impl parse::Document for Read {
    fn load_secrets_with(&mut self, secrets: &Secrets) -> Problems {
        self.spec.load_secrets_with(secrets)
    }

    fn checked(&self) -> Problems {
        self.spec.checked()
    }

    fn problems(&mut self) -> Problems {
        match self.spec.lower() {
            Ok(lowered) => {
                self.lowered = Some(lowered);
                Problems::new()
            }
            Err(error) => super::problems_of(error),
        }
    }
}

impl TryFrom<Read> for CheckedSpec {
    type Error = Error;

    fn try_from(Read { spec, lowered }: Read) -> Result<Self, Error> {
        let lowered = lowered.map_or_else(|| spec.lower(), Ok)?;
        Ok(Self { spec: Arc::new(spec), lowered: Arc::new(lowered) })
    }
}
