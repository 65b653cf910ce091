//! What is needed of the machine beside its kernel.

use std::fs::File;

use guestnet_core::link::LinkKind;

use super::case::Case;
use super::{Finding, Severity};

pub(super) fn check(case: &mut Case<'_>, findings: &mut Vec<Finding>) {
    let links = || case.objects.into_iter().flat_map(|o| o.iter()).flat_map(|(_, o)| o.links.iter());
    let wants_tap = case.objects.is_none() || links().any(|link| matches!(link.kind, LinkKind::Tap(_)));
    if wants_tap && let Err(error) = File::options().read(true).write(true).open("/dev/net/tun") {
        findings.push(Finding::new(
            Severity::Error,
            "no-tun",
            format!("/dev/net/tun cannot be opened ({error})"),
            "no tap can be made",
            "`modprobe tun`; in a container, give it the device",
        ));
    }
    let served = case.guests().iter().flat_map(|guest| &guest.interfaces).any(|i| i.serve.is_some());
    if served && !case.has_program("dnsmasq") {
        findings.push(Finding::new(
            Severity::Warning,
            "no-dnsmasq",
            "dnsmasq is not installed",
            "its configuration is written, but nobody serves DHCP and router advertisements to the guests",
            "install it (dnsmasq-base), or say \"serve\": false of interfaces that need none",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::tests::Tree;
    use super::*;
    use crate::HostSpec;

    #[test]
    fn who_is_served_needs_a_server() {
        let spec = |serve: &str| {
            HostSpec::from_json(&format!(
                r#"{{"version": 1, "guests": [{{"name": "a", "interfaces": [{{"name": "tapa", "private_ipv4": "192.168.0.2"{serve}}}]}}]}}"#
            ))
            .unwrap()
        };
        let without = Tree::new("without", &[("x", "")]);
        let with = Tree::new("with", &[("dnsmasq", "")]);
        let found = |tree: &Tree, serve| tree.ids(check, &spec(serve)).contains(&"no-dnsmasq".to_owned());
        assert!(found(&without, "") && !found(&with, "") && !found(&without, r#", "serve": false"#));
    }
}
