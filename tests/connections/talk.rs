//! A connection that one end goes on with when the other has got another owner.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use guestnet::HostSpec;
use guestnet_lab::{Capability, Guest, Mac, Netns, need, wait_until};
use serde_json::{Value, json};

use crate::support::{self, sh, spec, with_uplink};

pub const WORLD: [&str; 2] = ["198.51.100.1", "2001:db8:1::1"];
/// How long a packet may take that arrives, and how often one is sent that shall not.
const PATIENCE: Duration = Duration::from_millis(400);
const OFTEN: usize = 6;

/// The outside of a host whose connections last as long as the test, with routes to its guests.
pub fn world() -> Netns {
    need(Capability::Tap);
    need(Capability::Conntrack);
    let outside = with_uplink();
    outside.skip_dad().unwrap();
    outside.ip("address add 198.51.100.1/30 dev isp").unwrap();
    outside.ip("address add 2001:db8:1::1/64 dev isp nodad").unwrap();
    outside.ip("route add 192.168.0.0/16 via 198.51.100.2").unwrap();
    outside.ip("-6 route add 2001:db8:7::/48 via 2001:db8:1::fffe").unwrap();
    let here = Netns::here().unwrap();
    for timeout in ["udp_timeout", "udp_timeout_stream"] {
        here.set_sysctl(&format!("net/netfilter/nf_conntrack_{timeout}"), "900").unwrap();
    }
    outside
}

/// A guest in the host's namespace at `tapNAME`, which has 192.168.0.N and 2001:db8:7:N::/64.
pub fn guest(name: &str, n: u8, access: &Value) -> Value {
    json!({ "name": name, "placement": "host", "access": access, "interfaces": [{
        "name": format!("tap{name}"), "mac": mac(name).to_string(), "private_ipv4": format!("192.168.0.{n}"),
        "gateway_ipv4": "192.168.0.254/24", "public_ipv6": format!("2001:db8:7:{n:x}::/64"),
    }]})
}

/// Lists of who opens connections, and lets none be opened.
pub fn open() -> Value {
    json!({ "egress": [{}] })
}

/// Lists of who takes one port, and nothing else.
pub fn narrow() -> Value {
    json!({ "ingress": [{ "protocol": "udp", "ports": ["9"] }] })
}

pub fn host_of(guests: &[Value]) -> HostSpec {
    spec(&json!({ "version": 1, "uplink": "uplink", "guests": guests, "firewall": {} }))
}

/// The MAC address of a guest: it follows from its name.
pub fn mac(name: &str) -> Mac {
    let sum = name.bytes().fold(7, |sum: u16, byte| sum.wrapping_mul(257).wrapping_add(byte.into()));
    let [high, low] = sum.to_be_bytes();
    Mac([2, 0, 0x5e, 0, high, low])
}

/// The addresses of guest N.
pub fn addresses(n: u8) -> [String; 2] {
    [format!("192.168.0.{n}"), format!("2001:db8:7:{n:x}::2")]
}

/// Plugs the guest called `name` in at `netns`, as guest N.
pub fn plug(name: &str, netns: &Netns, n: u8) -> Guest {
    let guest = Guest::plug(&format!("vm{name}"), netns, &format!("tap{name}"), Some(mac(name))).unwrap();
    let [ipv4, ipv6] = addresses(n);
    for words in [
        format!("address add {ipv4}/24 dev eth0"),
        format!("address add {ipv6}/64 dev eth0 nodad"),
        "route add default via 192.168.0.254".to_owned(),
        format!("-6 route add default via 2001:db8:7:{n:x}::1"),
    ] {
        guest.netns().ip(&words).unwrap();
    }
    guest
}

/// The far end of a UDP connection that a guest has opened.
pub struct Talk {
    far: UdpSocket,
    guest: SocketAddr,
    /// Its address as the far end sees it.
    peer: SocketAddr,
}

impl Talk {
    /// The guest in `guest` asks from `from`, and is answered at `to`.
    pub fn begin(guest: &Netns, from: &str, world: &Netns, to: &str, port: u16) -> Self {
        let (from, to) = (at(from, port), at(to, port));
        let (near, far) = (bind(guest, from), bind(world, to));
        let mut peer = None;
        wait_until(&format!("{from} talks with {to}"), Duration::from_secs(40), || {
            near.send_to(b"question", to).unwrap();
            let Some(asked) = receive(&far) else { return false };
            peer = Some(asked);
            far.send_to(b"answer", asked).unwrap();
            receive(&near).is_some()
        })
        .unwrap_or_else(|e| panic!("{e:#}\n{}", drops()));
        Self { far, guest: from, peer: peer.unwrap() }
    }

    /// Whether what the far end goes on to send gets to who has the address now.
    pub fn reaches(&self, guest: &Netns) -> bool {
        let near = bind(guest, self.guest);
        (0..OFTEN).any(|_| {
            // The errors that come back are no news.
            let _ = self.far.send_to(b"late", self.peer);
            receive(&near).is_some()
        })
    }
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().unwrap(), port)
}

fn bind(netns: &Netns, address: SocketAddr) -> UdpSocket {
    let socket = netns.run(|| UdpSocket::bind(address)).unwrap_or_else(|e| panic!("{address}: {e}"));
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> Option<SocketAddr> {
    socket.recv_from(&mut [0; 64]).ok().map(|(_, peer)| peer)
}

fn drops() -> String {
    sh("nft list ruleset | grep -E 'chain drop|counter packets [1-9]' || true; ip address; ip route")
}

/// Waits until the guest in `guest` gets what `world` sends it and its narrow list lets in.
pub fn gets_what_it_may(guest: &Netns, address: &str, world: &Netns, from: &str) {
    let (to, from) = (at(address, 9), at(from, 1009));
    let (near, far) = (bind(guest, to), bind(world, from));
    wait_until(&format!("{to} gets what it may"), Duration::from_secs(40), || {
        let _ = far.send_to(b"new", to);
        receive(&near).is_some()
    })
    .unwrap_or_else(|e| panic!("{e:#}\n{}", drops()));
}

/// Talks of guest N, one for each of its addresses.
pub fn talks(guest: &Guest, n: u8, world: &Netns) -> Vec<Talk> {
    let port = 4000 + u16::from(n);
    let pairs = addresses(n).into_iter().zip(WORLD);
    pairs.map(|(from, to)| Talk::begin(guest.netns(), &from, world, to, port)).collect()
}

/// Plugs in who has the addresses of guest N now, with narrow lists, and asserts that nothing of `talks` gets there.
pub fn are_over(talks: &[Talk], name: &str, n: u8, world: &Netns) -> Guest {
    let next = plug(name, &Netns::here().unwrap(), n);
    for (talk, from) in talks.iter().zip(WORLD) {
        gets_what_it_may(next.netns(), &talk.guest.ip().to_string(), world, from);
        assert!(!talk.reaches(next.netns()), "{name} gets what is for who had {} before", talk.guest);
    }
    next
}

/// Asserts that all of `talks` go on.
pub fn go_on(talks: &[Talk], guest: &Guest) {
    for talk in talks {
        assert!(talk.reaches(guest.netns()), "the connection of {} has ended", talk.guest);
    }
}

pub use support::{apply, host};
