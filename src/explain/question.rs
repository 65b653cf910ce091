//! A packet in words: `from guest web1 to 2001:db8::1 tcp 443`.

use std::net::IpAddr;

use guestnet_core::Mac;
use guestnet_firewall::Transport;

use crate::spec::{Guest, HostSpec};

/// One end of a packet's way.
pub(super) enum End<'a> {
    Guest(&'a Guest),
    Address(IpAddr),
    Host,
}

/// A packet in words, read.
pub(super) struct Question<'a> {
    pub(super) from: End<'a>,
    pub(super) to: End<'a>,
    pub(super) protocol: Option<Transport>,
    pub(super) port: Option<u16>,
    pub(super) icmp: Option<(u8, u8)>,
    pub(super) source: Option<IpAddr>,
    pub(super) mac: Option<Mac>,
}

const GRAMMAR: &str = "from guest NAME | host | ADDRESS, to guest NAME | host | ADDRESS, then a protocol with its port, \
                       or type and code: \"from guest web1 to 2001:db8::1 tcp 443\"; before the protocol may stand \
                       source ADDRESS and mac ADDRESS, which a guest pretends to";

impl HostSpec {
    /// The question in `words`.
    pub(super) fn question<'a>(&'a self, words: &str) -> Result<Question<'a>, String> {
        let refuse = |what: &str| format!("{what}; a packet is: {GRAMMAR}");
        let mut words = words.split_whitespace();
        let mut end = |expected: &str| -> Result<End<'a>, String> {
            let mut next = || words.next().ok_or_else(|| refuse("it ends too early"));
            let word = next()?;
            if word != expected {
                return Err(refuse(&format!("{word:?} stands where {expected:?} is expected")));
            }
            match next()? {
                "host" => Ok(End::Host),
                "guest" => {
                    let name = next()?;
                    let guest = self.guests.iter().find(|guest| guest.name.as_str() == name);
                    guest.map(End::Guest).ok_or_else(|| format!("the spec has no guest {name:?}"))
                }
                text => {
                    let address = text.parse().map(End::Address);
                    address.map_err(|_| refuse(&format!("{text:?} is no address")))
                }
            }
        };
        let (from, to) = (end("from")?, end("to")?);
        let mut question =
            Question { from, to, protocol: None, port: None, icmp: None, source: None, mac: None };
        while let Some(word) = words.next() {
            let mut next = || words.next().ok_or_else(|| refuse("it ends too early"));
            match word {
                "source" => {
                    let text = next()?;
                    let address = text.parse().map_err(|_| refuse(&format!("{text:?} is no address")))?;
                    question.source = Some(address);
                }
                "mac" => question.mac = Some(next()?.parse().map_err(|e| format!("{e}"))?),
                _ => {
                    let protocol: Transport = word.parse()?;
                    question.protocol = Some(protocol);
                    let number = |text: &str| refuse(&format!("{text:?} is no number that fits here"));
                    if protocol.has_ports() {
                        let text = next()?;
                        question.port = Some(text.parse().map_err(|_| number(text))?);
                    } else if [Transport::ICMP, Transport::ICMPV6].contains(&protocol) {
                        let text = next()?;
                        let kind = text.parse().map_err(|_| number(text))?;
                        let code =
                            words.next().map_or(Ok(0), |text| text.parse().map_err(|_| number(text)))?;
                        question.icmp = Some((kind, code));
                    }
                    if let Some(more) = words.next() {
                        return Err(refuse(&format!("{more:?} is too much")));
                    }
                }
            }
        }
        Ok(question)
    }
}
