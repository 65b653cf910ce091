//! What the firewall has dropped.

use std::fmt;

use guestnet_core::Netns;
use guestnet_firewall::Drops;
use serde::Serialize;

use crate::host::Host;
use crate::report::Error;

/// What one paragraph of the contract has dropped in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct NamespaceDrops {
    /// The namespace; nothing is the host's own.
    pub namespace: Option<String>,
    /// What was dropped.
    #[serde(flatten)]
    pub drops: Drops,
}

/// What was dropped on a host, by namespace and paragraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDrops {
    /// For each paragraph that has a counter.
    pub drops: Vec<NamespaceDrops>,
}

impl Host {
    /// What the firewall has dropped, by namespace and by paragraph of its contract, since its rules were made.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn drops(&mut self) -> Result<HostDrops, Error> {
        self.observe()?;
        let mut found = Vec::new();
        for (netns, namespace) in self.open_namespaces() {
            let name = match netns {
                Netns::Host => None,
                Netns::Named(name) => Some(name.to_string()),
            };
            let drops = guestnet_firewall::drops(namespace)?;
            found.extend(drops.into_iter().map(|drops| NamespaceDrops { namespace: name.clone(), drops }));
        }
        Ok(HostDrops { drops: found })
    }
}

impl fmt::Display for HostDrops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |of: &NamespaceDrops| of.namespace.clone().unwrap_or_else(|| Netns::Host.to_string());
        let width = self.drops.iter().map(|of| place(of).len()).max().unwrap_or(0);
        let lines: Vec<String> =
            self.drops.iter().map(|of| format!("{:width$}  {}", place(of), of.drops)).collect();
        f.write_str(if lines.is_empty() { "no firewall" } else { "" })?;
        f.write_str(&lines.join("\n"))
    }
}
