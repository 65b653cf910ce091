//! What lab tests and the demo share: fresh namespaces for each test, guests on taps, probes and real daemons.
//!
//! Nothing here is mocked. A test runs in namespaces of its own on the running kernel, needs no root where the
//! machine allows user namespaces, and leaves nothing behind.
//!
//! ```no_run
//! guestnet_lab::lab_test! {
//!     fn a_link_comes_up() -> anyhow::Result<()> {
//!         let host = guestnet_lab::Netns::make("host1")?;
//!         host.ip("link add veth0 type veth peer name veth1")?;
//!         Ok(())
//!     }
//! }
//! ```

mod cable;
mod capture;
mod command;
pub mod craft;
mod daemon;
mod dhcp;
mod dice;
pub mod echo;
mod firewalld;
pub mod frame;
mod isolated;
mod mac;
mod need;
mod neighbour;
mod netns;
mod nflog;
mod part;
mod ping;
mod pings;
pub mod place;
mod raw;
mod sys;
mod systemd;
mod tap;
pub mod vm;
mod wait;

pub use cable::Guest;
pub use capture::{Capture, Port, send_frame};
pub use command::{die_with_parent, is_root, output, sh};
pub use daemon::{Daemon, dnsmasq};
pub use dhcp::{Lease, dhcp, dhcpv6};
pub use dice::Dice;
pub use echo::Echo;
pub use firewalld::Firewalld;
pub use frame::Frame;
pub use isolated::{Outcome, enter, isolate, isolated, scratch};
pub use mac::Mac;
pub use need::{Capability, has, need, need_program, note, skip};
pub use neighbour::{arp, solicit};
pub use netns::Netns;
pub use nflog::Log;
pub use part::Part;
pub use ping::{Echoed, path_mtu, ping, ping_of_size};
pub use pings::Pings;
pub use raw::Raw;
pub use systemd::Systemd;
pub use tap::Tap;
pub use vm::Vm;
pub use wait::wait_until;
