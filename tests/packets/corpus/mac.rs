//! Ethernet sources: 2.1.

use guestnet_lab::Mac;
use guestnet_lab::craft::ethernet::{from, to};

use crate::case::Case;
use crate::net::Net;
use crate::net::Who::{self, A, B, C, D, Host, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    let spoofs = [
        ("from a MAC address that the guest gave itself", Mac([2, 0, 0x5e, 0, 0x53, 0xaa])),
        ("from the MAC address of another guest", net.party(B).mac),
        ("from the MAC address of its router", net.next_hop(A, Host)),
        ("from the MAC address of the outside's router", net.party(Outside).mac),
        ("from a MAC address of one bit more", Mac([2, 0, 0x5e, 0, 0x53, net.party(A).mac.0[5] ^ 0x80])),
        ("from nobody's MAC address", Mac([0; 6])),
        ("from a group's MAC address", Mac([1, 0, 0x5e, 0, 0, 1])),
        ("from everybody's MAC address", Mac::BROADCAST),
    ];
    type Make = fn(&Net, Who) -> Vec<u8>;
    let frames: [(&str, Make); 2] = [
        ("IPv4", |net, to| net.icmp4(A, to, 8, 0, b"echodata")),
        ("IPv6", |net, to| net.icmp6(A, to, 128, 0, b"echodata")),
    ];
    let mut cases = Vec::new();
    for place in [B, Outside, Host] {
        for (family, make) in frames {
            let name = format!("{family} from its MAC address to {place}");
            let mut case = Case::new("2.1", name, A, place, make(net, place)).never_at(&[C, D]);
            for (detail, mac) in spoofs {
                let invalid = net.is_bridged() && (mac.0[0] & 1 == 1 || mac == Mac([0; 6]));
                case = case
                    .but("2.1", detail, from(&make(net, place), mac))
                    .unseen_if(invalid, "no bridge forwards what is from a group or from nobody");
            }
            cases.push(case);
        }
    }
    if net.is_bridged() {
        cases.extend(flooded(net));
    }
    cases
}

/// What is for nobody that a bridge knows goes out of all its ports.
fn flooded(net: &Net) -> [Case; 2] {
    let to = |who: Who, mac| to(&net.udp4(who, A, 53), mac);
    let nobody = Mac([2, 0, 0x5e, 0, 0x53, 0xee]);
    [
        Case::new("6.7", "what is for A's MAC address", Outside, A, to(Outside, net.party(A).mac))
            .never_at(&[B, C, D])
            .but("6.7", "for a MAC address that nobody has", to(Outside, nobody)),
        Case::new("6.7", "what a guest sends to nobody goes outward", B, Outside, to(B, nobody))
            .never_at(&[A, C, D]),
    ]
}
