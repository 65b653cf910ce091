//! The tunnels that there may be between the two hosts: between which guests, and how documents say them.

use std::net::IpAddr;

use guestnet::core::Netns;
use guestnet_lab::scratch;
use serde_json::{Value, json};

/// One tunnel, and the guests at its ends.
pub struct Line {
    /// The namespaces of its guests; without, the hosts' own.
    pub names: Option<[&'static str; 2]>,
    /// A guest's private addresses, at each end.
    pub addresses: [[&'static str; 2]; 2],
    /// How the endpoints' addresses end.
    endpoint: &'static str,
    /// Which of several between the same endpoints.
    id: u32,
}

/// Two between namespaces of guests, two between the hosts.
pub const LINES: [Line; 4] = [
    Line {
        names: Some(["a", "b"]),
        addresses: [["192.168.0.85", "fdfe:62d4:efc4:ef3b::2"], ["192.168.0.127", "fdc9:3955:7bf:873c::2"]],
        endpoint: "a",
        id: 0,
    },
    Line {
        names: Some(["c", "d"]),
        addresses: [["192.168.1.85", "fd11:62d4:efc4:ef3b::2"], ["192.168.1.127", "fd12:3955:7bf:873c::2"]],
        endpoint: "b",
        id: 0,
    },
    Line {
        names: None,
        addresses: [["192.168.2.85", "fd21:62d4:efc4:ef3b::2"], ["192.168.2.127", "fd22:3955:7bf:873c::2"]],
        endpoint: "1",
        id: 0,
    },
    Line {
        names: None,
        addresses: [["192.168.3.85", "fd31:62d4:efc4:ef3b::2"], ["192.168.3.127", "fd32:3955:7bf:873c::2"]],
        endpoint: "1",
        id: 1,
    },
];

/// Where the secret of all of them stands, so that no step holds one.
pub fn secret_file() -> String {
    scratch().join("secret").display().to_string()
}

impl Line {
    /// Where the tunnel is.
    pub fn place(&self, end: usize) -> Netns {
        self.names.map_or(Netns::Host, |names| Netns::Named(names[end].parse().expect("a name")))
    }

    pub fn endpoint(&self, end: usize) -> String {
        format!("2001:db8:{end}::{}", self.endpoint)
    }

    pub fn addresses(&self, end: usize) -> [IpAddr; 2] {
        self.addresses[end].map(|address| address.parse().expect("an address"))
    }

    /// Both guests' addresses.
    pub fn private(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses(0).into_iter().chain(self.addresses(1))
    }

    /// What of a guest's the tunnel carries.
    pub fn prefixes(&self, end: usize) -> [String; 2] {
        let [ipv4, ipv6] = self.addresses[end];
        [format!("{ipv4}/32"), ipv6.replace("::2", "::/64")]
    }

    /// The tunnel as the host `end` has it.
    pub fn tunnel(&self, end: usize, generation: u32) -> Value {
        let (here, there) = (self.prefixes(end), self.prefixes(1 - end));
        json!({
            "local": self.endpoint(end), "remote": self.endpoint(1 - end), "id": self.id,
            "pairs": [{ "local": here[0], "remote": there[0] }, { "local": here[1], "remote": there[1] }],
            "secret": { "file": secret_file() },
            "generation": generation,
        })
    }

    /// The tunnel in a step, going to a generation.
    pub fn order(&self, end: usize, generation: u32) -> Value {
        let mut order = json!({ "tunnel": self.tunnel(end, generation) });
        if let Some(names) = self.names {
            order["namespace"] = names[end].into();
        }
        order
    }

    /// Its guest, in a host's spec.
    pub fn guest(&self, end: usize, tunnels: Value) -> Value {
        match self.names {
            Some(names) => json!({ "name": names[end], "endpoint": self.endpoint(end), "tunnels": tunnels }),
            None => json!({ "name": format!("host{}", self.id), "placement": "host", "tunnels": tunnels }),
        }
    }
}
