//! What can be wrong with a step.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use guestnet_core::problem::{Path, Problems};
use guestnet_core::{Netns, Result};

use super::document::{Act, Step, VERSION};
use crate::named::Secrets;
use crate::tunnel::{Keyed, PinSpi, TunnelSpec, check_tunnels};

impl Step {
    /// The tunnels with their keys, which only `observe` needs none of.
    pub fn keyed(&self) -> Vec<Keyed<'_>> {
        let keyed = if self.act == Act::Observe { TunnelSpec::unkeyed } else { TunnelSpec::keyed };
        self.tunnels.iter().map(|order| keyed(&order.tunnel)).collect()
    }

    /// Notes what is wrong with it. `keyed` is what [`Step::keyed`] says; `reqids` says by which reqids a namespace knows
    /// what is ours, see [`check_tunnels`].
    pub fn check(
        &self,
        keyed: &[Keyed<'_>],
        reqids: fn(&Netns) -> RangeInclusive<u32>,
        problems: &mut Problems,
    ) {
        let root = Path::root();
        if self.version != VERSION {
            let words = format!("{} is not a version that this guestnet knows: {VERSION}", self.version);
            problems.at(&root.field("version"), words);
        }
        let mut by_namespace: BTreeMap<Netns, Vec<(Path, &Keyed<'_>)>> = BTreeMap::new();
        for (n, (order, keyed)) in self.tunnels.iter().zip(keyed).enumerate() {
            let path = root.field("tunnels").index(n).field("tunnel");
            by_namespace.entry(order.netns()).or_default().push((path, keyed));
        }
        for (netns, tunnels) in by_namespace {
            let mut seen = BTreeMap::new();
            for (path, Keyed { tunnel, reqid, .. }) in &tunnels {
                let line = (tunnel.local, tunnel.remote, *reqid);
                if let Some(first) = seen.insert(line, path) {
                    let words = format!(
                        "has the addresses and the reqid of {first}: nothing tells their states apart"
                    );
                    problems.at(&path.field("reqid"), words);
                }
                if self.act != Act::Observe && tunnel.pin_spi == PinSpi::All {
                    let words = "policies that name the SPI of what comes in drop packets of any other state, and so \
                                 of every new generation; a tunnel that is rekeyed has `out`";
                    problems.at(&path.field("pin_spi"), words);
                }
            }
            if self.act != Act::Observe {
                check_tunnels(&tunnels, &reqids(&netns), problems);
            }
        }
    }

    /// Reads the secrets that the tunnels name as files, and finds those that they name in `secrets`; of `observe` none are needed.
    ///
    /// # Errors
    /// The tunnel that could not be read, and why.
    pub fn load(&mut self, secrets: &Secrets) -> std::result::Result<(), (Path, guestnet_core::Error)> {
        if self.act == Act::Observe {
            return Ok(());
        }
        for (n, order) in self.tunnels.iter_mut().enumerate() {
            let loaded: Result<()> = order.tunnel.load(secrets);
            loaded.map_err(|error| (Path::root().field("tunnels").index(n).field("tunnel"), error))?;
        }
        Ok(())
    }
}
