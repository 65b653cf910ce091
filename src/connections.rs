//! Connections of addresses that are taken from a guest: they end, since a known connection passes the lists of whoever has the
//! address next (docs/security.md 6.12).

use guestnet_core::conntrack::{self, Addresses};
use guestnet_core::{Error, Namespace, Netns};

use crate::objects::ObjectChange;
use crate::warning::Warning;

/// The addresses whose connections end with `change`.
pub(crate) fn released(change: &ObjectChange) -> Addresses {
    match change {
        ObjectChange::Table(change) => guestnet_firewall::released(change),
        _ => Addresses::default(),
    }
}

/// A change in words, with the connections that end with it.
pub(crate) fn told(change: &ObjectChange) -> String {
    let released = released(change);
    let text = change.text();
    if released.is_empty() { text } else { format!("{text}, ends the connections of {released}") }
}

/// Ends the connections of `addresses`. Asks nothing where there are none.
///
/// # Errors
/// Those of [`conntrack::end`].
pub(crate) fn end(namespace: &mut Namespace, addresses: &Addresses) -> Result<(), Error> {
    conntrack::end(namespace, addresses).map(drop)
}

/// The warning that they could not be ended: no reason to leave a guest where it is.
pub(crate) fn live_on(netns: &Netns, addresses: &Addresses, error: &Error) -> Warning {
    let place = match netns {
        Netns::Host => String::new(),
        Netns::Named(name) => format!(" in namespace {name}"),
    };
    Warning::new(
        "connections-live-on",
        format!("connections of {addresses}{place} could not be ended ({error})"),
        "whoever has these addresses next is let into them, whatever its lists say",
        "end them with `conntrack -D`, or wait until they have timed out, before the addresses are given away",
    )
}
