//! Showing what is sent, as it is sent.

use std::io::Write;

use guestnet::Host;
use guestnet::core::{Act, Deed, Protocol, visible};

/// Bytes on a line of a hex dump.
const WIDTH: usize = 32;

/// Prints a line on standard error for each act of `host` that changes something; from level 2 on for those that ask,
/// too, and the bytes of all datagrams but those of XFRM, which carry keys.
pub fn watch(host: &mut Host, level: u8) {
    host.watch(move |act| {
        let asks = matches!(act.deed, Deed::Ask(..));
        if level > 1 || !asks {
            // Whoever cannot read this is served all the same.
            let _ = std::io::stderr().lock().write_all(said(act, level).as_bytes());
        }
    });
}

fn said(act: &Act<'_>, level: u8) -> String {
    let mut text = format!("{}\n", visible(&act.to_string()));
    let (Deed::Send(protocol, datagram) | Deed::Ask(protocol, datagram)) = act.deed else { return text };
    if level > 1 && protocol != Protocol::Xfrm {
        for line in datagram.bytes().chunks(WIDTH) {
            let hex: Vec<String> =
                line.chunks(4).map(|word| word.iter().map(|b| format!("{b:02x}")).collect()).collect();
            text += &format!("    {}\n", hex.join(" "));
        }
    }
    text
}
