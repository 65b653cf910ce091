//! What has become of tunnels since the spec was written.

use std::borrow::Cow;

use guestnet_core::Result;

use super::Lowered;
use crate::objects::Objects;
use crate::snapshot::Snapshot;

impl Lowered {
    /// The objects, with the tunnels at the generation that the host has taken them to. A spec says the least one, so
    /// that rekeying is no drift and an apply undoes none; see [`guestnet_xfrm::TunnelSpec::settled`].
    pub(crate) fn settled(&self, found: &Snapshot) -> Result<Cow<'_, Objects>> {
        let mut settled = Cow::Borrowed(&self.objects);
        for (netns, tunnels) in &self.tunnels {
            let Some(found) = found.ipsec(netns) else { continue };
            for tunnel in tunnels.iter().filter(|tunnel| tunnel.spec.is_rekeyed(&found)) {
                let objects = settled.to_mut().in_namespace(netns);
                tunnel.states.iter().for_each(|key| drop(objects.states.remove(key)));
                let now = tunnel.spec.settled(&found)?;
                now.states.into_iter().for_each(|state| drop(objects.states.insert(state)));
                now.policies.into_iter().for_each(|policy| drop(objects.policies.insert(policy)));
            }
        }
        Ok(settled)
    }
}
