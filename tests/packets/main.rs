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
mod isolated;
mod left;
mod mutants;
mod net;
mod renamed;
mod run;
mod spec;
mod world;

use anyhow::Result;
use guestnet_lab::{Capability, Part, lab_test, need};
use net::Placement;

/// Where this says a part, as `1/8`, of which the first is `0/8`, that part of the rules is left out instead, one at a time:
/// `cargo xtask firewall --mutants`.
const MUTANTS: &str = "GUESTNET_MUTANTS";

fn judge(placement: Placement) -> Result<()> {
    need(Capability::Tap);
    need(Capability::Bridge);
    need(Capability::Conntrack);
    match Part::said(MUTANTS)? {
        Some(part) => mutants::run(placement, part),
        None => run::run(placement),
    }
}

fn rename(placement: Placement) -> Result<()> {
    need(Capability::Tap);
    need(Capability::Bridge);
    renamed::run(placement)
}

fn leave(placement: Placement) -> Result<()> {
    need(Capability::Tap);
    need(Capability::Bridge);
    need(Capability::Conntrack);
    left::run(placement)
}

lab_test! {
    fn guests_that_the_host_routes_to() -> Result<()> {
        judge(Placement::Routed)
    }

    fn guests_in_namespaces_of_their_own() -> Result<()> {
        judge(Placement::Own)
    }

    fn a_routed_guest_that_has_left_is_nobody() -> Result<()> {
        leave(Placement::Routed)
    }

    fn a_guest_that_has_left_with_its_namespace_is_nobody() -> Result<()> {
        leave(Placement::Own)
    }

    fn a_guest_that_has_left_a_bridge_is_nobody() -> Result<()> {
        leave(Placement::Bridged)
    }

    fn a_routed_link_by_another_name_is_nobodys() -> Result<()> {
        rename(Placement::Routed)
    }

    fn a_port_by_another_name_is_nobodys() -> Result<()> {
        rename(Placement::Bridged)
    }

    fn isolated_ports_reach_each_other_by_the_host_where_lists_allow() -> Result<()> {
        need(Capability::Tap);
        need(Capability::Bridge);
        isolated::run(Placement::BridgedCalled)
    }

    fn guests_in_a_bridge() -> Result<()> {
        judge(Placement::Bridged)
    }

    fn guests_in_a_bridge_that_knows_connections() -> Result<()> {
        need(Capability::BridgeConntrack);
        judge(Placement::Bridged)
    }

    fn guests_in_a_bridge_whose_frames_are_called_up_to_the_packet_rules() -> Result<()> {
        judge(Placement::BridgedCalled)
    }
}
