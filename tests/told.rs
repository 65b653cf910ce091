//! What answers tell: guest by guest what was done and what has to be restarted, and the same warnings in all of them.

mod support;

use guestnet::doctor::{Severity, examine};
use guestnet::{Done, GuestReport, Host, HostSpec, Program};
use guestnet_lab::{Capability, lab_test, need};
use serde_json::{Value, json};
use support::{guest, guest_in_host, sh, spec, spec_of};

/// Of each guest what was done, the links that were made again, and what has to be restarted.
fn told(guests: &[GuestReport]) -> Vec<String> {
    let one = |guest: &GuestReport| {
        assert!(guest.changes > 0, "{guest:?}");
        let links: Vec<String> = guest.links_made_again.iter().map(ToString::to_string).collect();
        let restart: Vec<String> = guest
            .restart
            .iter()
            .map(|restart| format!("{:?} {}: {}", restart.program, restart.of, restart.why))
            .collect();
        format!("{} {:?} [{}] {}", guest.name, guest.done, links.join(" "), restart.join("; "))
            .trim_end()
            .to_owned()
    };
    guests.iter().map(one).collect()
}

fn applied(host: &mut Host, spec: &HostSpec) -> Vec<String> {
    told(&support::apply(host, spec).guests)
}

lab_test! {
    fn a_report_says_guest_by_guest_what_was_done_and_what_has_to_be_restarted() {
        need(Capability::Tap);
        let _outside = support::with_uplink();
        let mut host = support::host();
        let (a, b) = (guest("a", 1), guest_in_host("b", 2));
        let both = spec_of(&[a.clone(), b.clone()]);
        assert_eq!(applied(&mut host, &both), ["a Made []", "b Made []"]);

        // By hand, and no file says so.
        sh("ip netns delete a");
        let report = support::apply(&mut host, &both);
        let dnsmasq = "Dnsmasq a/dnsmasq.conf: the namespace a was made again";
        let monitor = "Monitor tapa: the namespace a was made again";
        assert_eq!(told(&report.guests), [format!("a MadeAgain [tapa] {dnsmasq}; {monitor}")]);
        assert!(report.files.is_empty(), "{report}");
        for line in [
            "guests: 1 made again",
            "restart dnsmasq (a/dnsmasq.conf): the namespace a was made again",
            "open tapa again, in the monitor: the namespace a was made again",
        ] {
            assert!(report.to_string().lines().any(|l| l == line), "{line}: {report}");
        }
        let document = serde_json::to_value(&report).unwrap();
        assert_eq!(document["guests"][0]["done"], "made_again");
        assert_eq!(document["guests"][0]["restart"][0]["program"], "dnsmasq");

        sh("ip link delete tapb");
        let why = "the link tapb was made again";
        assert_eq!(
            applied(&mut host, &both),
            [format!("b MadeAgain [tapb] Dnsmasq b/dnsmasq.conf: {why}; Monitor tapb: {why}")]
        );
        sh("sysctl -qw net.ipv4.conf.tapb.proxy_arp=0");
        assert_eq!(applied(&mut host, &both), ["b Changed []"]);

        // Another file, and an interface more: nobody has to open what he has open.
        let mut more = a.clone();
        more["interfaces"][0]["serve"] = json!({"dns": ["192.0.2.53"]});
        let changed = "Dnsmasq a/dnsmasq.conf: the file has changed";
        assert_eq!(applied(&mut host, &spec_of(&[more.clone(), b.clone()])), [format!("a Changed [] {changed}")]);
        more["interfaces"].as_array_mut().unwrap().push(json!({"name": "tapa2", "private_ipv4": "192.168.0.9"}));
        assert_eq!(applied(&mut host, &spec_of(&[more, b.clone()])), [format!("a Changed [] {changed}")]);

        // One that the spec does not have any more, and parts of it that are taken away and added.
        assert_eq!(applied(&mut host, &spec_of(std::slice::from_ref(&b))), ["a Removed []"]);
        assert_eq!(told(&host.add(&spec_of(std::slice::from_ref(&a))).unwrap().guests), ["a Made []"]);
        assert_eq!(told(&host.remove(&spec_of(&[b])).unwrap().guests), ["b Removed []"]);
        let report = host.remove(&spec_of(&[a])).unwrap();
        assert_eq!(report.guests.iter().map(|guest| guest.done).collect::<Vec<_>>(), [Done::Removed]);
    }

    /// A guest without a file: its only tap was there if its namespace was.
    fn a_tap_that_was_made_again_has_to_be_opened_again() {
        need(Capability::Tap);
        let _outside = support::with_uplink();
        let mut host = support::host();
        let mut quiet = guest("a", 1);
        quiet["interfaces"][0]["serve"] = json!(false);
        let spec = spec_of(&[quiet]);
        assert_eq!(applied(&mut host, &spec), ["a Made []"]);
        sh("ip -n a link delete tapa");
        let report = support::apply(&mut host, &spec);
        let [guest] = &report.guests[..] else { panic!("{report}") };
        assert_eq!((guest.done, guest.restart.len()), (Done::MadeAgain, 1), "{guest:?}");
        assert_eq!((guest.restart[0].program, guest.restart[0].of.as_str()), (Program::Monitor, "tapa"));
    }

    fn every_answer_has_the_warnings() {
        need(Capability::Tap);
        let _outside = support::with_uplink();
        let mut host = support::host();
        let with = |guests: Value| {
            spec(&json!({"version": 1, "uplink": "uplink", "guests": guests,
                "firewall": {"host": {"services": [{"protocol": "tcp", "ports": ["443"]}]}}}))
        };
        let warned = |warnings: &[String]| match warnings {
            [only] => only.starts_with("firewall.host.services: none lets anybody in by ssh"),
            _ => false,
        };
        let one = with(json!([guest("a", 1)]));
        let plan = host.plan(&one).unwrap();
        assert!(warned(plan.warnings()), "{plan}");
        let report = host.apply(&one).unwrap();
        assert!(warned(&report.warnings), "{report}");
        assert!(report.to_string().lines().any(|line| line.starts_with("? firewall.host.services")), "{report}");
        let again = host.apply(&one).unwrap();
        assert!(again.changes == 0 && warned(&again.warnings), "{again}");
        assert!(warned(host.verify(&one).unwrap().warnings()));
        for document in [serde_json::to_value(&plan).unwrap(), serde_json::to_value(&report).unwrap()] {
            assert_eq!(document["warnings"].as_array().map(Vec::len), Some(1), "{document}");
        }
        let two = with(json!([guest("b", 2)]));
        assert!(warned(host.plan_add(&two).unwrap().warnings()));
        assert!(warned(&host.add(&two).unwrap().warnings));
        // Nothing is let in by what is taken away.
        assert!(host.remove(&two).unwrap().warnings.is_empty());
        let findings = examine(None, Some(&one)).unwrap().findings;
        let ssh = findings.iter().find(|finding| finding.id == "no-ssh").unwrap_or_else(|| panic!("{findings:?}"));
        assert_eq!(ssh.severity, Severity::Warning);
        assert!(host.plan(&spec_of(&[guest("a", 1)])).unwrap().warnings().is_empty());
    }
}
