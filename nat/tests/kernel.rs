//! The translation on the running kernel.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use guestnet_lab::{Echo, Netns, echo, lab_test, output, path_mtu, ping, wait_until};
use guestnet_nat::{MARK, Mode};
use nix::errno::Errno;
use support::errors::udp_error;
use support::{FAMILIES, Family, GUESTS, Lab, SHAPES, Shape, private};

/// What a socket is told by "port unreachable".
const REFUSED: i32 = Errno::ECONNREFUSED as i32;
/// What a socket is told by "time exceeded".
const EXCEEDED: i32 = Errno::EHOSTUNREACH as i32;

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
fn talk(from: &Netns, to: SocketAddr, seen: IpAddr) -> Result<()> {
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

    fn routers_inside_may_have_any_address() -> Result<()> {
        everywhere(|lab, family| {
            // The router before guest 3 speaks from an address with nothing in common with those of guests.
            let (address, route) = match family {
                Family::V4 => ("100.64.0.1/32", "route replace default via 10.9.0.1 src 100.64.0.1"),
                Family::V6 => ("2001:db8:640::1/128 nodad", "-6 route replace default via fd00:9::1 src 2001:db8:640::1"),
            };
            lab.inner.ip(&format!("address add dev lo {address}"))?;
            lab.inner.ip(route)?;
            let public = lab.public(3, family);
            assert_eq!(path_mtu(&lab.near, None, public, 1500)?, 1350, "from outside");
            assert_eq!(path_mtu(lab.guest(1), None, public, 1500)?, 1350, "hairpin");
            let closed = SocketAddr::new(public, 9);
            assert_eq!(udp_error(&lab.near, closed, 3)?, EXCEEDED, "from outside");
            assert_eq!(udp_error(lab.guest(1), closed, 2)?, EXCEEDED, "hairpin");
            Ok(())
        })
    }

    fn errors_reach_the_sockets_that_they_are_about() -> Result<()> {
        everywhere(|lab, family| {
            let closed = |ip| SocketAddr::new(ip, 9);
            for n in GUESTS {
                let guest = lab.guest(n);
                let public = lab.public(n, family);
                assert_eq!(udp_error(guest, closed(family.near()), 64)?, REFUSED);
                assert_eq!(udp_error(&lab.near, closed(public), 64)?, REFUSED);
                let other = lab.public(n % 3 + 1, family);
                assert_eq!(udp_error(guest, closed(other), 64)?, REFUSED, "hairpin");
                assert_eq!(udp_error(guest, closed(other), 1)?, EXCEEDED, "hairpin, 1 hop");
                let hops_out = if n == 3 { 3 } else { 2 };
                for hops in 1..=hops_out {
                    assert_eq!(udp_error(guest, closed(family.near()), hops)?, EXCEEDED, "{hops} hops out");
                    assert_eq!(udp_error(&lab.near, closed(public), hops)?, EXCEEDED, "{hops} hops in");
                }
            }
            Ok(())
        })
    }
}

/// How many packets are marked at `hook`, at `priority`, from now on.
fn count_marked(netns: &Netns, hook: &str, priority: i32) -> Result<impl Fn() -> Result<u64>> {
    let watch = format!(
        "add table inet {hook}_watch
        add chain inet {hook}_watch c {{ type filter hook {hook} priority {priority}; }}
        add rule inet {hook}_watch c meta mark and {MARK:#x} != 0 counter"
    );
    netns.nft(&watch)?;
    let table = format!("{hook}_watch");
    Ok(move || {
        let shown = output(netns.command("nft").args(["list", "table", "inet", &table]))?;
        let words = shown.split_once("counter packets ").context("a counter")?.1;
        Ok(words.split_whitespace().next().context("a count")?.parse()?)
    })
}

lab_test! {
    fn marks_are_only_seen_between_the_two() -> Result<()> {
        for family in FAMILIES {
            let lab = Lab::build(Mode::Tracked, Shape::Addresses)?;
            let between = count_marked(&lab.router, "forward", 0)?;
            let behind = count_marked(&lab.router, "postrouting", 400)?;
            let _guest = Echo::start(lab.guest(2), family.any(7))?;
            let server = SocketAddr::new(lab.public(2, family), 7);
            assert_eq!(echo::udp(&lab.near, None, server, b"hello")?.ip(), family.near());
            assert_eq!((between()?, behind()?), (0, 0), "from outside, what is told of the source is enough");
            talk(lab.guest(1), server, lab.public(1, family))?;
            assert_eq!(path_mtu(&lab.near, None, lab.public(3, family), 1500)?, 1350);
            assert_eq!(udp_error(lab.guest(1), SocketAddr::new(lab.public(3, family), 9), 64)?, REFUSED);
            assert!(between()? > 10, "hairpins, and errors");
            assert_eq!(behind()?, 0, "{family:?}");
        }
        Ok(())
    }

    fn fragments_are_translated() -> Result<()> {
        everywhere(|lab, family| {
            let _near = Echo::start(&lab.near, family.any(7))?;
            for n in GUESTS {
                let _guest = Echo::start(lab.guest(n), family.any(7))?;
                let (out, inward) = (SocketAddr::new(family.near(), 7), SocketAddr::new(lab.public(n, family), 7));
                // IPv6 is not fragmented on the way; the sender has to know.
                path_mtu(&lab.near, None, inward.ip(), 1500)?;
                assert_eq!(echo::udp(lab.guest(n), None, out, &[7; 4000])?.ip(), lab.public(n, family));
                assert_eq!(echo::udp(&lab.near, None, inward, &[7; 4000])?.ip(), family.near());
            }
            Ok(())
        })
    }

    fn neighbour_discovery_is_left_alone() -> Result<()> {
        for mode in MODES {
            let lab = Lab::build(mode, Shape::Addresses)?;
            let public = lab.public(1, Family::V6);
            // The public address is on the provider's link, where the host answers for it.
            lab.isp.ip(&format!("-6 route add {public} dev host"))?;
            // For all: what is asked of the address itself is otherwise passed on, with proxies for one link only.
            lab.router.set_sysctl("net/ipv6/conf/all/proxy_ndp", "1")?;
            lab.router.set_sysctl("net/ipv6/neigh/uplink/proxy_delay", "0")?;
            lab.router.ip(&format!("-6 neighbour add proxy {public} dev uplink"))?;
            ping(&lab.isp, None, public)?;
            let neighbour = lab.isp.ip(&format!("-6 neighbour show {public} dev host"))?;
            let mac = neighbour.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).context("a MAC")?;
            // Asks the public address itself, as a router does from time to time.
            lab.isp.ip(&format!("-6 neighbour replace {public} dev host lladdr {mac} nud probe"))?;
            wait_until("the neighbour answers", Duration::from_secs(10), || {
                let now = lab.isp.ip(&format!("-6 neighbour show {public} dev host"));
                assert!(!now.as_ref().is_ok_and(|now| now.contains("FAILED")), "{now:?}");
                now.is_ok_and(|now| now.contains("REACHABLE"))
            })?;
        }
        Ok(())
    }

    fn nft_shows_the_tables() -> Result<()> {
        for mode in MODES {
            for shape in SHAPES {
                let lab = Lab::wire(shape)?;
                lab.translate(mode)?;
                for table in lab.spec(mode).lower() {
                    let (family, name) = (table.family.to_string(), table.name.to_string());
                    let shown = output(lab.router.command("nft").args(["list", "table", &family, &name]))?;
                    let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
                    let lines = shown.lines().map(str::trim);
                    let headers = ["table ", "chain ", "set ", "map ", "type ", "flags ", "elements ", "}"];
                    let said = lines.filter(|line| !line.is_empty() && !headers.iter().any(|h| line.starts_with(h)));
                    let said: Vec<&str> = said.filter(|line| !line.contains(" : ") && !line.ends_with("},")).collect();
                    assert!(said.len() >= rules, "{rules} rules are shown as {said:#?}");
                }
            }
        }
        Ok(())
    }
}
