//! How the kernel finds the policies of each namespace: from which lengths of prefixes on by a hash.

use guestnet_xfrm::HashThreshold;
use guestnet_xfrm::threshold::Family;

use super::{Lowered, Spot};

impl Lowered {
    /// Where there are many policies with prefixes, the thresholds under which they are found soonest, unless given.
    pub(super) fn thresholds(&mut self) {
        let found: Vec<_> = (self.objects.iter())
            .flat_map(|(netns, objects)| {
                let fitting = move |family| HashThreshold::fitting(family, &objects.policies);
                [Family::Ipv4, Family::Ipv6].map(|family| (netns.clone(), fitting(family)))
            })
            .collect();
        for (netns, threshold) in found.into_iter().filter_map(|(netns, t)| Some((netns, t?))) {
            if !self.objects.in_namespace(&netns).thresholds.contains(&threshold.family) {
                self.add(&netns, threshold, &Spot::root().field("guests"), |o| &mut o.thresholds);
            }
        }
    }
}
