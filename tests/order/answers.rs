//! Answers for proxied addresses on the uplink while plans are carried out: always for those of both specs, never for those of
//! neither, and for one that comes or goes only as long as there is a way to it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use guestnet::Host;
use guestnet::core::{Act, Deed, Netns, Protocol};
use guestnet_lab::craft::arp::{Arp, REPLY};
use guestnet_lab::craft::{ethernet, icmp, ipv6, ndp};
use guestnet_lab::frame::{ARP, ICMPV6, IPV6};
use guestnet_lab::{Capability, Dice, Frame, Mac, Port, lab_test, need};
use libc::{RTM_DELLINK, RTM_DELNEIGH, RTM_NEWNEIGH, RTM_NEWROUTE};
use serde_json::{Value, json};

use crate::support::{guest, guest_in_host, host, with_uplink};

/// Proxied by all specs.
const STAYS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);
/// Proxied by every second one.
const COMES: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 8);
/// Proxied by none, of the same solicited-node group as [`STAYS`], so that the host hears who asks for it; of the guest's own.
const NEVER: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0x100, 7), Ipv6Addr::new(0x2001, 0xdb8, 1, 7, 0, 0, 0, 7)];
/// Addresses of the guest that stays. Others route to them, and nobody asks for them here.
const ROUTED: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 7), Ipv4Addr::new(192, 168, 0, 7)];

/// A host with the guest of [`STAYS`], and with that of [`COMES`] if `comes`; all else is random.
fn random(dice: &mut Dice, comes: bool) -> Value {
    let mut stays = guest("stays", 7);
    if dice.one_in(2) {
        stays["proxied"] = json!([STAYS, "2001:db8:1::a0", "2001:db8:1::a1"]);
    }
    stays["interfaces"][0]["mtu"] = dice.of(&[1400, 1500]).into();
    let mut guests = vec![stays];
    guests.extend(comes.then(|| guest("comes", 8)));
    // They make a plan long, and proxy addresses too.
    for n in 0..dice.of(&[4, 30]) {
        let mut one = guest_in_host(&format!("crowd{n}"), 100 + n);
        one["interfaces"][0]["public_ipv4"].take();
        if dice.one_in(2) {
            one["proxied"] = json!([format!("2001:db8:1::{:x}", 0x100 + u32::from(n))]);
        }
        guests.push(one);
    }
    let mut spec = json!({"version": 1, "uplink": "uplink", "guests": guests});
    if dice.one_in(2) {
        spec["objects"] = json!({"host": {"neighbours": [{"address": "2001:db8:1::aa", "dev": "uplink"}]}});
    }
    if dice.one_in(2) {
        spec["firewall"] = json!({});
    }
    spec
}

/// A neighbour behind the uplink.
struct Asker {
    port: Port,
    mac: Mac,
}

impl Asker {
    fn solicit(&self, target: Ipv6Addr) {
        let own = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
        let group = ipv6::solicited_node(target);
        let body = ndp::body(0, target, &[ndp::source_mac(self.mac)]);
        let message = icmp::icmpv6(own, group, ndp::SOLICITATION, 0, &body);
        let packet = ipv6::Ipv6::new(own, group, ICMPV6).hops(255).carrying(&message);
        let [.., a, b, c, d] = group.octets();
        self.port.send(&ethernet::frame(Mac([0x33, 0x33, a, b, c, d]), self.mac, IPV6, &packet)).unwrap();
    }

    fn arp(&self, target: Ipv4Addr) {
        let request = Arp::request(self.mac, Ipv4Addr::new(198, 51, 100, 1), target);
        self.port.send(&ethernet::frame(Mac::BROADCAST, self.mac, ARP, &request.bytes())).unwrap();
    }

    /// Asks for all. Who answered before [`STAYS`] did, which is asked for last; that it did not is an error.
    fn ask(&self) -> Result<Vec<String>, &'static str> {
        ROUTED.into_iter().for_each(|target| self.arp(target));
        NEVER.into_iter().chain([COMES, STAYS]).for_each(|target| self.solicit(target));
        let (mut answered, began) = (Vec::new(), Instant::now());
        while began.elapsed() < Duration::from_secs(1) {
            match self.port.receive().and_then(|frame| answered_by(&Frame(frame))) {
                Some(target) if target == STAYS.to_string() => return Ok(answered),
                Some(target) => answered.push(target),
                None => std::thread::yield_now(),
            }
        }
        Err("who stays was not answered for")
    }
}

/// Whom a frame answers for.
fn answered_by(frame: &Frame) -> Option<String> {
    if frame.ethertype()? == ARP {
        let message = frame.payload();
        let sender: [u8; 4] = message.get(14..18)?.try_into().ok()?;
        let is_reply = message.get(6..8)? == REPLY.to_be_bytes();
        return is_reply.then(|| Ipv4Addr::from(sender).to_string());
    }
    let packet = frame.packet().filter(|packet| packet.protocol == ICMPV6)?;
    let target: [u8; 16] = packet.payload.get(8..24)?.try_into().ok()?;
    let target = Some(Ipv6Addr::from(target)).filter(|_| packet.payload[0] == ndp::ADVERTISEMENT)?;
    // The kernel behind the uplink asks for the host's own now and then.
    (!target.is_unicast_link_local()).then(|| target.to_string())
}

/// The messages by which `host` changes something about [`COMES`] from now on, in order: their types. The route to it may go with
/// its link.
fn told(host: &mut Host) -> Arc<Mutex<Vec<u16>>> {
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&kinds);
    host.watch(move |act: &Act<'_>| {
        if let Deed::Send(Protocol::Route, datagram) = act.deed {
            let kind = |whole: &[u8]| u16::from_ne_bytes([whole[4], whole[5]]);
            let about = |whole: &[u8]| {
                kind(whole) == RTM_DELLINK || whole.windows(16).any(|bytes| bytes == COMES.octets())
            };
            let messages =
                datagram.messages().filter(|message| act.netns == &Netns::Host && about(message.whole));
            noted.lock().unwrap().extend(messages.map(|message| kind(message.whole)));
        }
    });
    kinds
}

lab_test! {
    fn who_is_answered_for_is_always_the_same_and_can_be_reached() {
        need(Capability::Tap);
        let outside = with_uplink();
        let asker = Asker { port: Port::open(&outside, "isp").unwrap(), mac: Mac::of(&outside, "isp").unwrap() };
        for seed in Dice::seeds(3) {
            let mut dice = Dice::new(seed);
            let mut comes = dice.one_in(2);
            let mut specs: Vec<Value> = Vec::new();
            for _ in 0..5 {
                specs.push(random(&mut dice, comes));
                comes = !comes;
            }
            for pair in specs.windows(2) {
                let comes = pair[1]["guests"][1]["name"] == "comes";
                let wrong = Mutex::new(Vec::new());
                host().apply(&crate::spec(&pair[0])).unwrap();
                // What was asked before is answered for.
                while asker.port.receive().is_some() {}
                let rounds = crate::changes(pair, || match asker.ask() {
                    Err(words) => wrong.lock().unwrap().push(words.to_owned()),
                    Ok(answered) => {
                        let others = answered.into_iter().filter(|target| *target != COMES.to_string());
                        wrong.lock().unwrap().extend(others);
                    }
                });
                let wrong = wrong.into_inner().unwrap();
                assert!(wrong.is_empty(), "seed {seed}: of {rounds} rounds {wrong:?}\n{pair:#?}");
                assert!(rounds > 10, "{rounds} rounds");
                // The probe is one: who is there at the end is answered for, or not.
                assert_eq!(asker.ask().unwrap().contains(&COMES.to_string()), comes);
            }
            host().remove_all().unwrap();
        }
    }

    fn an_address_is_answered_for_only_while_there_is_a_way_to_it() {
        need(Capability::Tap);
        let _outside = with_uplink();
        for seed in Dice::seeds(3) {
            let mut dice = Dice::new(seed);
            for comes in [true, false] {
                host().apply(&crate::spec(&random(&mut dice, !comes))).unwrap();
                let mut host = host();
                let kinds = told(&mut host);
                host.apply(&crate::spec(&random(&mut dice, comes))).unwrap();
                let order = if comes { [RTM_NEWROUTE, RTM_NEWNEIGH] } else { [RTM_DELNEIGH, RTM_DELLINK] };
                let kinds = kinds.lock().unwrap();
                assert!(kinds.starts_with(&order), "seed {seed}: {kinds:?} instead of {order:?}");
            }
        }
    }
}
