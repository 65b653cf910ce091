//! ESP in UDP (RFC 3948), for hosts behind NAT.

use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use guestnet_core::problem::{Path, Problems};
use guestnet_core::{Error, Namespace, Result};
use serde::{Deserialize, Serialize};

use crate::sys;

/// The port that RFC 3947 section 4 gives to ESP in UDP.
pub const PORT: u16 = 4500;

/// The UDP header that stands before a state's ESP: `encap espinudp SPORT DPORT ::`.
///
/// The kernel takes such packets from a socket that someone keeps open in the same namespace at the destination's
/// address and port, with the option `UDP_ENCAP` (udp(7)); see [`EncapSocket`]. Sending needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encap {
    /// The source port.
    pub sport: u16,
    /// The destination port.
    pub dport: u16,
}

impl fmt::Display for Encap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "encap espinudp {} {} ::", self.sport, self.dport)
    }
}

impl Encap {
    pub(crate) fn check(self, path: &Path, problems: &mut Problems) {
        for (name, port) in [("sport", self.sport), ("dport", self.dport)] {
            check_port(port, &path.field(name), problems);
        }
    }
}

fn check_port(port: u16, path: &Path, problems: &mut Problems) {
    if port == 0 {
        problems.at(path, "0 is not a UDP port");
    }
}

/// How a tunnel runs over UDP, as one end sees it.
///
/// Both ends keep a socket open (see [`EncapSocket`]). Behind NAT, `remote` of the other end is the address that the NAT
/// gives to this one, which has to be known beforehand: a static mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Udp {
    /// The port at this end.
    #[serde(default = "port")]
    pub local_port: u16,
    /// The port at the other end, as this one sees it: behind NAT, what the NAT gives it.
    #[serde(default = "port")]
    pub remote_port: u16,
    /// Where this end is behind NAT, its address as the other one sees it, which is the other one's `remote`. Derived
    /// keys and SPIs follow from addresses on which both ends agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<IpAddr>,
}

fn port() -> u16 {
    PORT
}

impl Default for Udp {
    fn default() -> Self {
        Self { local_port: PORT, remote_port: PORT, public: None }
    }
}

impl Udp {
    /// The header of what leaves.
    pub(crate) fn outbound(self) -> Encap {
        Encap { sport: self.local_port, dport: self.remote_port }
    }

    /// The header of what comes.
    pub(crate) fn inbound(self) -> Encap {
        Encap { sport: self.remote_port, dport: self.local_port }
    }

    /// As the other end sees it, which by itself is not behind NAT.
    pub(crate) fn mirrored(self) -> Self {
        Self { local_port: self.remote_port, remote_port: self.local_port, public: None }
    }

    pub(crate) fn check(self, local: IpAddr, path: &Path, problems: &mut Problems) {
        check_port(self.local_port, &path.field("local_port"), problems);
        check_port(self.remote_port, &path.field("remote_port"), problems);
        if let Some(public) = self.public.filter(|public| public.is_ipv4() != local.is_ipv4()) {
            problems.at(&path.field("public"), format!("{public} is of another family than local, {local}"));
        }
    }
}

/// A socket for ESP in UDP: as long as it is open, the kernel takes the ESP packets that come to its address and port
/// for states in its namespace (RFC 3948 section 3.2; `UDP_ENCAP` in udp(7)). Nothing of theirs is read from it.
///
/// States outlive processes and this does not: some process has to stay, and without it packets come in no more.
#[derive(Debug)]
pub struct EncapSocket {
    socket: UdpSocket,
    address: SocketAddr,
}

impl EncapSocket {
    /// Opens it in `namespace` at `address`, which is there.
    ///
    /// # Errors
    /// `Io` when the address is not there, when the port is taken (by an IKE daemon, which has such a socket itself), or
    /// when the kernel has no ESP in UDP (IPv6: before 5.8).
    pub fn open(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        let netns = namespace.netns();
        let failed =
            |e| Error::io(format!("open a socket for ESP in UDP at {address} in namespace {netns}"), e);
        namespace.inside(|| {
            let socket = UdpSocket::bind(address).map_err(failed)?;
            sys::take_esp(&socket).map_err(failed)?;
            Ok(Self { socket, address })
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends the byte by which a NAT on the way to `to` keeps its mapping (RFC 3948 sections 2.3 and 4). To be said every
    /// 20 seconds where nothing else is sent.
    ///
    /// # Errors
    /// `Io`, for instance when there is no route.
    pub fn keep_alive(&self, to: SocketAddr) -> Result<()> {
        let sent = self.socket.send_to(&[0xff], to);
        sent.map(drop)
            .map_err(|e| Error::io(format!("send a NAT keepalive from {} to {to}", self.address), e))
    }
}
