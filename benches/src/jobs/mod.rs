//! The jobs, one a file.

mod again;
mod data_plane;
mod firewall;
mod firewall_packets;
mod guests_from_nothing;
mod nat;
mod one_guest;
mod one_more;
mod python;
mod whole;
mod xfrm;

use crate::job::Job;

/// All of them, in the order of the report.
pub fn all() -> Vec<Job> {
    vec![
        one_guest::job(),
        guests_from_nothing::in_host(),
        guests_from_nothing::in_their_own(),
        one_more::job(),
        one_more::lost(),
        python::job(),
        again::job(),
        again::read_back(),
        nat::load(),
        nat::element(),
        nat::read(),
        firewall::element(),
        xfrm::policy(),
        xfrm::state(),
        data_plane::inward(),
        data_plane::outward(),
        firewall_packets::from_guests(),
        firewall_packets::to_guests(),
    ]
}
