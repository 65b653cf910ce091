//! The host itself: 7.1, 7.2.

use guestnet_lab::craft::transport::{ACK, SYN};

use crate::case::{Case, Shot};
use crate::net::Net;
use crate::net::Who::{A, C, Host, Outside};

/// All of them. Guests may ask for names (53), the outside for a shell (22).
pub fn cases(net: &Net) -> Vec<Case> {
    let mut cases = Vec::new();
    for is_ipv4 in [true, false] {
        for guest in [A, C] {
            let udp = |port| {
                Shot::new(
                    guest,
                    if is_ipv4 { net.udp4(guest, Host, port) } else { net.udp6(guest, Host, port) },
                )
            };
            let tcp = |port, flags| {
                Shot::new(guest, net.tcp(guest, Host, is_ipv4, (net.port(), port), flags, (1, 0)))
            };
            cases.push(
                Case::of("7.1", format!("{guest} asks the host for names, IPv4: {is_ipv4}"), Host, udp(53))
                    .but_shot("7.1 6.1", "for the time", udp(123))
                    .but_shot("7.1 6.1", "for another name", udp(5353))
                    .but_shot("7.1 6.1", "for a shell", tcp(22, SYN))
                    .but_shot("7.1 6.1", "for names by TCP", tcp(53, SYN))
                    .but_shot("7.1 6.1", "in a connection that nobody has begun", tcp(22, ACK)),
            );
        }
        let tcp = |port, flags| {
            Shot::new(Outside, net.tcp(Outside, Host, is_ipv4, (net.port(), port), flags, (1, 0)))
        };
        let udp = |port| {
            Shot::new(
                Outside,
                if is_ipv4 { net.udp4(Outside, Host, port) } else { net.udp6(Outside, Host, port) },
            )
        };
        // In a bridge it is behind a port that is no guest's, as the uplink is on most hosts.
        cases.push(
            Case::of(
                "7.2",
                format!("the outside asks the host for a shell, IPv4: {is_ipv4}"),
                Host,
                tcp(22, SYN),
            )
            .but_shot("7.2", "for another service", tcp(23, SYN))
            .but_shot("7.2", "for pages", tcp(80, SYN))
            .but_shot("7.2", "in a connection that nobody has begun", tcp(80, ACK))
            .but_shot("7.2", "for names, as guests may", udp(53)),
        );
    }
    cases
}
