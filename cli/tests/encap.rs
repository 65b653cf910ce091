//! `guestnet encap`: a socket is there as long as the command runs.

mod call;

use std::process::Command;
use std::time::Duration;

use call::{GUESTNET, parsed, said};
use guestnet_lab::{Capability, Capture, Frame, Netns, lab_test, need, wait_until};

lab_test! {
    fn esp_sockets_are_held_for_as_long_as_it_runs_and_nats_are_reminded() {
        need(Capability::Esp);
        let mut spec = parsed(r#"{"version": 1, "guests": [{
            "name": "g", "endpoint": "2001:db8:1::a", "interfaces": [{"name": "tap0", "private_ipv6": "fd00:1::/64"}],
            "tunnels": [{"local": "2001:db8:1::a", "remote": "2001:db8:2::a", "udp": {"local_port": 4510},
                         "pairs": [{"local": "fd00:1::/64", "remote": "fd00:2::/64"}],
                         "secret": "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa"}]}]}"#);
        let apply = |spec: &serde_json::Value| assert_eq!(said(&["apply", "-f", "-"], &spec.to_string()).0, 0);
        apply(&spec);
        let wire = Capture::start(&Netns::open("g").expect("a namespace"), "vethig").expect("a capture");
        let mut running = Command::new(GUESTNET).args(["encap", "--every", "1"]).spawn().expect("it starts");
        let g = Netns::open("g").expect("a namespace");
        let is_open = |port: &str| {
            let shown = guestnet_lab::output(g.command("ss").args(["-Hnul"])).expect("ss");
            shown.contains(&format!("[2001:db8:1::a]:{port}"))
        };
        let wait = |what: &str, is: &mut dyn FnMut() -> bool| {
            wait_until(what, Duration::from_secs(30), is).expect(what);
        };
        wait("a socket", &mut || is_open("4510"));
        spec["guests"][0]["tunnels"][0]["udp"]["local_port"] = 4511.into();
        apply(&spec);
        wait("another port, and no more the first", &mut || is_open("4511") && !is_open("4510"));
        // RFC 3948 section 2.3: one byte, from the port that packets come from to the one that they go to.
        let keepalive = |frame: &Frame| {
            let packet = frame.packet().filter(|packet| packet.protocol == 17)?;
            let ports = [4511_u16, 4500].map(u16::to_be_bytes).concat();
            (packet.payload[..4] == ports[..] && packet.payload[8..] == [0xff]).then_some(packet.destination)
        };
        let to = wire.wait_for("a NAT keepalive", Duration::from_secs(60), keepalive).expect("a NAT keepalive");
        assert_eq!(to.to_string(), "2001:db8:2::a");
        running.kill().expect("it runs still");
        running.wait().expect("it ends");
        wait("no socket", &mut || !is_open("4511"));
    }
}
