//! The firewall judged by packets: frames of every kind that its contract (`docs/security.md`) speaks of, sent by a
//! guest, and what of them comes out on the other side: at other guests, at the outside, at the host itself.
//!
//! Every frame that has to be dropped has a twin that has to pass and differs in the offending detail only. All are sent
//! twice: without a filter, where both have to come out, so that the frames are proven good and the lab is; then with it.
//!
//! Run it on a host of yours, in namespaces of its own: `cargo xtask firewall`.

mod case;
mod corpus;
mod explain;
mod net;
mod run;
mod world;

use anyhow::Result;
use guestnet_lab::{Capability, lab_test, need};
use net::Placement;

fn judge(placement: Placement) -> Result<()> {
    need(Capability::Tap);
    need(Capability::Bridge);
    need(Capability::Conntrack);
    run::run(placement)
}

lab_test! {
    fn guests_that_the_host_routes_to() -> Result<()> {
        judge(Placement::Routed)
    }

    fn guests_in_a_bridge() -> Result<()> {
        judge(Placement::Bridged)
    }

    fn guests_in_a_bridge_whose_frames_are_called_up_to_the_packet_rules() -> Result<()> {
        judge(Placement::BridgedCalled)
    }
}
