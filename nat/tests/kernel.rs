//! The translation on the running kernel.

mod support;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use guestnet_lab::{Echo, Netns, echo, lab_test, path_mtu, ping};
use guestnet_nat::Mode;
use support::errors::udp_error;
use support::{FAMILIES, Family, GUESTS, Lab, SHAPES, private};

const MODES: [Mode; 2] = [Mode::Notrack, Mode::Tracked];

/// Runs `test` in a lab of its own for every mode and shape.
fn everywhere(test: impl Fn(&Lab, Family) -> Result<()>) -> Result<()> {
    for mode in MODES {
        for shape in SHAPES {
            let lab = Lab::build(mode, shape)?;
            for family in FAMILIES {
                test(&lab, family).with_context(|| format!("{mode:?}, {shape:?}, {family:?}"))?;
            }
            assert_eq!(lab.bad_checksums()?, 0, "{mode:?}, {shape:?}");
        }
    }
    Ok(())
}

/// Talks TCP and UDP; both times the server has to see the client as `seen`.
fn talk(from: &Netns, to: SocketAddr, seen: std::net::IpAddr) -> Result<()> {
    assert_eq!(echo::tcp(from, None, to, 100_000)?.ip(), seen, "TCP from {} to {to}", from.name());
    assert_eq!(echo::udp(from, None, to, b"hello")?.ip(), seen, "UDP from {} to {to}", from.name());
    ping(from, None, to.ip())
}

lab_test! {
    fn guests_are_seen_from_their_public_addresses() -> Result<()> {
        everywhere(|lab, family| {
            let _echo = Echo::start(&lab.near, family.any(7))?;
            GUESTS.into_iter().try_for_each(|n| {
                talk(lab.guest(n), SocketAddr::new(family.near(), 7), lab.public(n, family))
            })
        })
    }

    fn guests_are_reached_by_their_public_addresses() -> Result<()> {
        everywhere(|lab, family| {
            GUESTS.into_iter().try_for_each(|n| {
                let _echo = Echo::start(lab.guest(n), family.any(7))?;
                talk(&lab.near, SocketAddr::new(lab.public(n, family), 7), family.near())
            })
        })
    }

    fn private_addresses_stay_where_they_are_known() -> Result<()> {
        everywhere(|lab, family| {
            let here = private(1, family);
            // By their addresses, so that they answer over UDP from no other.
            let _peer = Echo::start(&lab.isp, SocketAddr::new(family.peer(), 7))?;
            let _router = Echo::start(&lab.router, SocketAddr::new(family.router(), 7))?;
            let _neighbour = Echo::start(lab.guest(2), family.any(7))?;
            talk(lab.guest(1), SocketAddr::new(family.peer(), 7), here)?;
            talk(lab.guest(1), SocketAddr::new(family.router(), 7), here)?;
            talk(lab.guest(1), SocketAddr::new(private(2, family), 7), here)?;
            let _guest = Echo::start(lab.guest(1), family.any(7))?;
            let (peer, guest) = (family.peer(), SocketAddr::new(here, 7));
            assert_eq!(echo::tcp(&lab.isp, Some(peer), guest, 1000)?.ip(), peer);
            assert_eq!(echo::udp(&lab.isp, Some(peer), guest, b"hello")?.ip(), peer);
            ping(&lab.isp, Some(peer), here)
        })
    }

    fn guests_of_one_host_reach_each_other_by_public_addresses() -> Result<()> {
        everywhere(|lab, family| {
            let _servers: Vec<Echo> =
                GUESTS.into_iter().map(|n| Echo::start(lab.guest(n), family.any(7))).collect::<Result<_>>()?;
            for from in GUESTS {
                for to in GUESTS {
                    let server = SocketAddr::new(lab.public(to, family), 7);
                    talk(lab.guest(from), server, lab.public(from, family))?;
                }
            }
            Ok(())
        })
    }

    fn path_mtus_are_found_in_both_directions() -> Result<()> {
        everywhere(|lab, family| {
            assert_eq!(path_mtu(lab.guest(1), None, family.far(), 1500)?, 1300, "told by a router outside");
            assert_eq!(path_mtu(&lab.near, None, lab.public(2, family), 1500)?, 1400, "told by the host");
            assert_eq!(path_mtu(&lab.near, None, lab.public(3, family), 1500)?, 1350, "told by a router inside");
            assert_eq!(path_mtu(lab.guest(1), None, lab.public(3, family), 1500)?, 1350, "hairpin, from inside");
            assert_eq!(path_mtu(lab.guest(1), None, lab.public(2, family), 1500)?, 1400, "hairpin, by the host");
            Ok(())
        })
    }

    fn errors_reach_the_sockets_that_they_are_about() -> Result<()> {
        everywhere(|lab, family| {
            let closed = |ip| SocketAddr::new(ip, 9);
            let unreachable = if family == Family::V4 { libc_errno::HOST } else { libc_errno::HOST };
            for n in GUESTS {
                let guest = lab.guest(n);
                let public = lab.public(n, family);
                assert_eq!(udp_error(guest, closed(family.near()), 64)?, libc_errno::REFUSED);
                assert_eq!(udp_error(&lab.near, closed(public), 64)?, libc_errno::REFUSED);
                let other = lab.public(n % 3 + 1, family);
                assert_eq!(udp_error(guest, closed(other), 64)?, libc_errno::REFUSED, "hairpin");
                assert_eq!(udp_error(guest, closed(other), 1)?, unreachable, "hairpin, 1 hop");
                let hops_out = if n == 3 { 3 } else { 2 };
                for hops in 1..=hops_out {
                    assert_eq!(udp_error(guest, closed(family.near()), hops)?, unreachable, "{hops} hops out");
                    assert_eq!(udp_error(&lab.near, closed(public), hops)?, unreachable, "{hops} hops in");
                }
            }
            Ok(())
        })
    }
}

/// The errors that sockets see.
mod libc_errno {
    use nix::errno::Errno;
    /// Port unreachable.
    pub const REFUSED: i32 = Errno::ECONNREFUSED as i32;
    /// Time exceeded.
    pub const HOST: i32 = Errno::EHOSTUNREACH as i32;
}
