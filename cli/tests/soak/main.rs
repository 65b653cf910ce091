//! Random hosts, and what holds of each of them: every call is a process of its own, as where a script calls the command.
//!
//! There are a few, always the same; `cargo xtask soak` tries others.

#[path = "../call/mod.rs"]
mod call;
mod changes;
mod host;
mod laws;
#[path = "../../../tests/support/mod.rs"]
mod support;

use guestnet_lab::{Capability, Dice, lab_test, need};
use support::with_uplink;

fn soak(tunnels: bool) {
    let _outside = with_uplink();
    support::sh(host::OTHERS);
    // The second kernel, which has tunnels, is emulated and slow.
    let whole = !tunnels || std::env::var_os("GUESTNET_SOAK").is_some();
    Dice::seeds(if whole { 3 } else { 1 }).for_each(|seed| laws::hold(seed, tunnels, whole));
}

lab_test! {
    fn random_hosts_keep_the_laws() {
        need(Capability::Tap);
        need(Capability::Bridge);
        soak(false);
    }

    fn esp_random_hosts_with_tunnels_keep_the_laws() {
        need(Capability::Esp);
        soak(true);
    }
}
