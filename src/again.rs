//! States that a plan makes a second time.

use guestnet_core::{Change, Object};

use crate::objects::ObjectChange;
use crate::observe::Observation;
use crate::plan::{Plan, What};

/// Warnings for states that were there before: policies that were found still name them. With the same keys the sequence
/// starts again, at one end only.
///
/// A host that has forgotten everything, as after a reboot, cannot know it.
pub(crate) fn warnings(plan: &Plan, found: &Observation) -> Vec<String> {
    let mut warnings = Vec::new();
    for change in &plan.changes {
        let What::Object(ObjectChange::State(of_state)) = &change.what else { continue };
        let Change::Create(state) = &**of_state else { continue };
        let policies = found.in_namespace(&change.netns).policies.ours.iter();
        let named = policies
            .flat_map(|policy| &policy.templates)
            .any(|template| (template.spi, template.dst) == (Some(state.spi), state.dst));
        if named {
            warnings.push(format!(
                "{} in {}: was there before, and is made again under the same key: the other end takes its packets \
                 for old ones, and what was recorded of the tunnel can be replayed; take the tunnel to a new \
                 generation (docs/rekey.md, \"The same keys again\")",
                state.key(),
                change.netns
            ));
        }
    }
    warnings
}
