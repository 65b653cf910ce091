//! What guests may send and get by their groups: 6.1, 6.3, 6.4. D is in `front`, of which a tier leads to `servers`; E is in
//! `servers` and in `stores`, and has no list of its own.

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{self, B, D, E, Outside};

/// All of them.
pub fn cases(net: &Net) -> Vec<Case> {
    [true, false]
        .into_iter()
        .flat_map(|is_ipv4| [tier(net, is_ipv4)].into_iter().chain(lists(net, is_ipv4)))
        .collect()
}

fn say(net: &Net, from: Who, to: Who, is_ipv4: bool, port: u16) -> Shot {
    Shot::new(from, if is_ipv4 { net.udp4(from, to, port) } else { net.udp6(from, to, port) })
}

fn tier(net: &Net, is_ipv4: bool) -> Case {
    let say = |from, to, port| say(net, from, to, is_ipv4, port);
    Case::of("6.4", format!("UDP by a tier from D to E, IPv4: {is_ipv4}"), E, say(D, E, 5432))
        .but_shot("6.1", "to another port", say(D, E, 5433))
        .but_shot("6.1", "from a guest that is not in the group", say(B, E, 5432))
        .but_shot("6.1", "from outside", say(Outside, E, 5432))
        .but_shot("6.1", "to a guest that is not in the group", say(D, B, 5432))
        .seen_at(B)
        .but_shot("6.1", "the other way", say(E, D, 5432))
        .seen_at(D)
}

/// One port is of the one group, the next of the other.
fn lists(net: &Net, is_ipv4: bool) -> Vec<Case> {
    let say = |from, to, port| say(net, from, to, is_ipv4, port);
    let mut cases = Vec::new();
    for (group, port) in [("servers", 7001), ("stores", 7002)] {
        let name = format!("UDP that {group} get, IPv4: {is_ipv4}");
        cases.push(
            Case::of("6.1", name, E, say(Outside, E, port))
                .but_shot("6.1", "to a port of neither group", say(Outside, E, 7003))
                .but_shot("6.1", "to a port that the group may send to", say(Outside, E, port + 10))
                .but_shot("6.1", "to a guest that is in neither", say(Outside, D, port))
                .seen_at(D),
        );
        let name = format!("UDP that {group} may send, IPv4: {is_ipv4}");
        cases.push(
            Case::of("6.1", name, Outside, say(E, Outside, port + 10))
                .but_shot("6.1", "to a port of neither group", say(E, Outside, 7013))
                .but_shot("6.1", "to a port that the group gets", say(E, Outside, port))
                .but_shot("6.1", "from a guest that is in neither", say(D, Outside, port + 10)),
        );
    }
    cases
}
