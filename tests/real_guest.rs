//! A real guest, Debian's kernel in QEMU, on the taps that guestnet makes: it boots, is given its addresses by dnsmasq,
//! reaches the internet and is reached, and loses nothing while its host is applied to, gets and loses other guests,
//! is flushed by somebody else, and is repaired.

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use guestnet::{Host, HostSpec, Report};
use guestnet_lab::vm::need_vm;
use guestnet_lab::{Capability, Mac, Netns, Pings, Vm, dnsmasq, lab_test, need, need_program, scratch, sh};
use serde_json::{Value, json};
use support::{apply, guest, guest_in_host, host, spec, with_uplink};

const MAC: Mac = Mac([2, 0, 0x5e, 0, 0x53, 7]);
/// The internet's end of the uplink.
const OUTSIDE: [&str; 2] = ["198.51.100.1", "2001:db8:1::1"];
/// What begins the public IPv6 address of the guest.
const PUBLIC: &str = "2001:db8:1:7:";
/// What guestnet writes for the dnsmasq of the guest.
const OURS: &str = "/run/guestnet/web/dnsmasq.conf";

/// The internet, with routes to the guests by the host.
fn outside() -> Result<Netns> {
    let outside = with_uplink();
    outside.ip(&format!("address add {}/30 dev isp", OUTSIDE[0]))?;
    outside.ip(&format!("address add {}/64 dev isp nodad", OUTSIDE[1]))?;
    for of_guests in ["203.0.113.0/24", "192.168.0.0/24"] {
        outside.ip(&format!("route add {of_guests} via 198.51.100.2"))?;
    }
    outside.ip("-6 route add 2001:db8:1:7::/64 via 2001:db8:1::fffe")?;
    sh("ip -6 route add default via 2001:db8:1::1 dev uplink")?;
    Ok(outside)
}

/// A host with the guest `web`, and where that is.
struct Place {
    bridges: Value,
    /// The guest, and another that comes and goes.
    guests: [Value; 2],
    /// The namespace of their taps.
    taps: Netns,
}

impl Place {
    /// Applies the spec with the guest: only then its own namespace is there.
    fn make(bridges: Value, guest: fn(&str, u8) -> Value, taps: fn() -> Result<Netns>) -> Result<Self> {
        let guests = [guest("web", 7), guest("db", 8)];
        apply(&mut host(), &spec_of(&bridges, &guests[..1]));
        Ok(Self { bridges, guests, taps: taps()? })
    }

    fn alone(&self) -> HostSpec {
        spec_of(&self.bridges, &self.guests[..1])
    }

    fn both(&self) -> HostSpec {
        spec_of(&self.bridges, &self.guests)
    }

    fn the_other(&self) -> HostSpec {
        spec_of(&self.bridges, &self.guests[1..])
    }

    /// Flushes rulesets, guestnet's routes, and the addresses of the links that guests are on.
    fn flush(&self) -> Result<()> {
        let script = "nft flush ruleset; ip route flush proto 103; ip -6 route flush proto 103
            for link in tapweb br0; do ! ip -o link show $link || ip address flush dev $link; done";
        for netns in [&Netns::here()?, &self.taps] {
            guestnet_lab::output(netns.command("sh").args(["-c", script]))?;
        }
        Ok(())
    }

    fn index_of_tap(&self) -> Result<String> {
        Ok(self.taps.ip("-oneline link show tapweb")?.split(':').next().unwrap_or_default().to_owned())
    }
}

fn spec_of(bridges: &Value, guests: &[Value]) -> HostSpec {
    spec(&json!({ "version": 1, "uplink": "uplink", "bridges": bridges, "guests": guests }))
}

/// A guest in a bridge.
fn bridged(name: &str, n: u8) -> Value {
    json!({ "name": name, "placement": "host", "interfaces": [{
        "name": format!("tap{name}"), "bridge": "br0", "mac": format!("02:00:5e:00:53:{n:02x}"),
        "private_ipv4": format!("192.168.0.{n}"),
        "public_ipv6": format!("2001:db8:1:7:0:5eff:fe00:53{n:02x}/128"),
    }]})
}

/// What somebody serves the guests of the bridge with.
const DNSMASQ: &str = "\
port=0
interface=br0
bind-dynamic
dhcp-range=192.168.0.7,static,1h
dhcp-host=02:00:5e:00:53:07,192.168.0.7
dhcp-option=option:router,192.168.0.254
dhcp-range=2001:db8:1:7::,ra-only,64
enable-ra
";

/// The guest and the internet, talking with each other all the time.
struct Talk<'a> {
    all: Vec<Pings<'a>>,
    vm: &'a Vm,
}

impl<'a> Talk<'a> {
    fn begin(vm: &'a Vm, outside: &Netns, guest: [IpAddr; 2]) -> Result<Self> {
        let mut all = Vec::new();
        for (out, back) in OUTSIDE.iter().zip(guest) {
            all.push(vm.pings(out.parse()?).with_context(|| format!("to {out}"))?);
            all.push(Pings::start(outside, back).with_context(|| format!("from outside to {back}"))?);
        }
        Ok(Self { all, vm })
    }

    /// Nothing is lost by `work`, which changes something or not.
    fn goes_on(&mut self, what: &str, changes: bool, work: impl FnOnce() -> Result<Report>) -> Result<()> {
        let report = work().with_context(|| what.to_owned())?;
        ensure!((report.changes > 0) == changes, "{what}: {report}");
        let lost = self.lost().with_context(|| format!("{what}: {}", self.whereabouts()))?;
        ensure!(lost == [0; 4], "{what}: {lost:?} lost, out and back by IPv4, out and back by IPv6");
        Ok(())
    }

    /// Addresses, routes and neighbours of the guest and of the host.
    fn whereabouts(&self) -> String {
        let of_guest = self.vm.run("ip -6 address show eth0; ip -6 route; ip -6 neigh; ip neigh");
        let of_host = sh("ip -6 address; ip -6 route; ip -6 neigh");
        format!("the guest: {of_guest:?}\nthe host: {of_host:?}").replace("\\n", "\n")
    }

    /// All four are asked, so that an error says who else is silent.
    fn lost(&mut self) -> Result<Vec<u32>> {
        let asked: Vec<_> = self.all.iter_mut().map(Pings::lost).collect();
        ensure!(asked.iter().all(Result::is_ok), "{asked:?}");
        asked.into_iter().collect()
    }
}

/// The life of a host, while a guest of it talks from its own addresses and to those that the internet knows it by.
fn lives(place: &Place, vm: &Vm, outside: &Netns, known: [IpAddr; 2]) -> Result<()> {
    let (alone, both) = (place.alone(), place.both());
    let (mut host, tap) = (host(), place.index_of_tap()?);
    let mut talk = Talk::begin(vm, outside, known)?;
    talk.goes_on("the same spec again", false, || Ok(host.apply(&alone)?))?;
    talk.goes_on("one guest more, by another process", true, || Ok(apply(&mut Host::open()?, &both)))?;
    talk.goes_on("one guest less", true, || Ok(host.remove(&place.the_other())?))?;
    talk.goes_on("one guest more, as a part", true, || Ok(host.add(&place.the_other())?))?;
    talk.goes_on("the spec without it", true, || Ok(apply(&mut host, &alone)))?;

    place.flush()?;
    let found = host.verify(&alone)?;
    ensure!(!found.is_empty(), "nothing of the flush was seen");
    apply(&mut host, &alone);
    // Until the repair some are lost, and then no more.
    talk.lost().with_context(|| format!("after the repair: {}", talk.whereabouts()))?;
    talk.goes_on("the same spec after the repair", false, || Ok(host.apply(&alone)?))?;
    ensure!(place.index_of_tap()? == tap, "the tap was made anew");
    Ok(())
}

/// The same for a guest that dnsmasq tells its addresses.
fn lives_served(place: &Place, outside: &Netns, conf: &Path, known: &str) -> Result<()> {
    let _dnsmasq = dnsmasq(&place.taps, conf)?;
    let vm = Vm::boot(&place.taps, "tapweb", MAC)?;
    ensure!(vm.lease()?.address == Ipv4Addr::new(192, 168, 0, 7));
    let ipv6 = vm.ipv6(PUBLIC)?;
    lives(place, &vm, outside, [known.parse()?, ipv6])?;
    ensure!(vm.renew()?.address == Ipv4Addr::new(192, 168, 0, 7));
    Ok(())
}

lab_test! {
    fn a_guest_in_a_namespace_of_its_own() -> Result<()> {
        need_vm();
        need_program("dnsmasq");
        let outside = outside()?;
        let place = Place::make(json!([]), guest, || Netns::open("web"))?;
        lives_served(&place, &outside, Path::new(OURS), "203.0.113.7")
    }

    fn a_guest_in_the_namespace_of_the_host() -> Result<()> {
        need_vm();
        need_program("dnsmasq");
        let outside = outside()?;
        let place = Place::make(json!([]), guest_in_host, Netns::here)?;
        lives_served(&place, &outside, Path::new(OURS), "203.0.113.7")
    }

    fn a_guest_in_a_bridge() -> Result<()> {
        need_vm();
        need_program("dnsmasq");
        need(Capability::Bridge);
        let outside = outside()?;
        let bridges = json!([{ "name": "br0", "addresses": ["192.168.0.254/24", "2001:db8:1:7::fe/64"] }]);
        let place = Place::make(bridges, bridged, Netns::here)?;
        let conf = scratch().join("dnsmasq.conf");
        std::fs::write(&conf, DNSMASQ)?;
        lives_served(&place, &outside, &conf, "192.168.0.7")
    }
}
