//! What can be wrong with a step.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use guestnet_core::problem::{Path, Problems};
use guestnet_core::{Netns, Result};

use super::document::{Act, Step, VERSION};
use crate::named::Secrets;
use crate::tunnel::{PinSpi, TunnelSpec, check_together};

impl Step {
    /// Notes what is wrong with it. `reqids` says by which reqids a namespace knows what is ours; see
    /// [`TunnelSpec::check`].
    pub fn check(&self, reqids: fn(&Netns) -> RangeInclusive<u32>, problems: &mut Problems) {
        let root = Path::root();
        if self.version != VERSION {
            let words = format!("{} is not a version that this guestnet knows: {VERSION}", self.version);
            problems.at(&root.field("version"), words);
        }
        let mut by_namespace: BTreeMap<Netns, Vec<(Path, &TunnelSpec)>> = BTreeMap::new();
        for (n, order) in self.tunnels.iter().enumerate() {
            let path = root.field("tunnels").index(n).field("tunnel");
            by_namespace.entry(order.netns()).or_default().push((path, &order.tunnel));
        }
        for (netns, tunnels) in by_namespace {
            let mut seen = BTreeMap::new();
            for (path, tunnel) in &tunnels {
                let line = (tunnel.local, tunnel.remote, tunnel.reqid());
                if let Some(first) = seen.insert(line, path) {
                    let words = format!(
                        "has the addresses and the reqid of {first}: nothing tells their states apart"
                    );
                    problems.at(&path.field("reqid"), words);
                }
                if self.act == Act::Observe {
                    continue;
                }
                tunnel.check(&reqids(&netns), path, problems);
                if tunnel.pin_spi == PinSpi::All {
                    let words = "policies that name the SPI of what comes in drop packets of any other state, and so \
                                 of every new generation; a tunnel that is rekeyed has `out`";
                    problems.at(&path.field("pin_spi"), words);
                }
            }
            if self.act != Act::Observe {
                check_together(tunnels, problems);
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
