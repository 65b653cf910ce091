//! The firewall where guests are ports of bridges.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use guestnet_lab::{Capability, Netns, has, lab_test, need};
use serde_json::{Value, json};
use support::{apply, host, lines, ruleset, spec, tables};

lab_test! {
    fn a_bridge_without_connections_is_told_what_to_do() {
        need(Capability::Tap);
        need(Capability::Bridge);
        let mut wanted = json!({
            "version": 1, "bridges": [{"name": "br0"}], "firewall": {},
            "guests": [{"name": "web1", "placement": "host", "access": {}, "interfaces": [{
                "name": "tapweb1", "bridge": "br0", "mac": "02:00:5e:00:53:01", "private_ipv4": "192.168.5.2",
            }]}],
        });
        let stateful = host().apply(&spec(&wanted));
        match has(Capability::BridgeConntrack) {
            Ok(()) => assert!(stateful.is_ok(), "{stateful:?}"),
            Err(_) => {
                let error = stateful.unwrap_err();
                assert!(error.hint().is_some_and(|hint| hint.contains("nf_conntrack_bridge")), "{error}");
                assert!(host().observe().unwrap().is_empty());
            }
        }
        wanted["guests"][0]["access"]["stateless"] = true.into();
        apply(&mut host(), &spec(&wanted));
    }

    /// Frames that no hook of a bridge sees are dropped at the port (2.7): the port's table comes and goes with it.
    fn a_port_has_a_table_as_long_as_it_is_one() {
        need(Capability::Tap);
        need(Capability::Bridge);
        support::sh("ip link add lan0 type bridge && ip link set lan0 up");
        let port = |n: u8| json!({"name": format!("one{n}"), "placement": "host", "access": {"stateless": true},
            "interfaces": [{"name": format!("tap.{n}"), "bridge": "lan0", "mac": format!("02:00:5e:00:53:0{n}"),
                "private_ipv4": format!("192.168.5.{n}")}]});
        let wanted = |guests: &[Value]| spec(&json!({"version": 1, "guests": guests, "firewall": {},
            "bridges": [{"name": "lan0", "existing": true}]}));
        let hooks = || {
            let here = Netns::here().unwrap();
            let listed = ruleset(&here);
            listed.lines().filter(|line| line.contains("hook ingress device")).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut host = host();
        let all = wanted(&[port(2), port(3)]);
        apply(&mut host, &all);
        assert_eq!(hooks().len(), 2, "{:?}", hooks());
        // Somebody else deletes the link, or the table.
        for act in ["ip link delete tap.2", "nft delete table netdev guestnet_port_tap_2e3"] {
            support::sh(act);
            assert!(!host.verify(&all).unwrap().is_empty(), "{act}");
            apply(&mut host, &all);
            assert_eq!(hooks().len(), 2, "{act}: {:?}", hooks());
        }
        // The link is made again.
        let mut queues = port(2);
        queues["interfaces"][0]["kind"] = json!({"tap": {"multi_queue": true}});
        let other = wanted(&[queues, port(3)]);
        let plan = host.plan(&other).unwrap();
        assert!(lines(&plan).iter().any(|line| line.starts_with('-') && line.contains("link tap.2")), "{plan}");
        host.may_remake(["tap.2".parse().unwrap()]);
        apply(&mut host, &other);
        assert_eq!(hooks().len(), 2, "{:?}", hooks());
        // Parts alone.
        host.remove(&wanted(&[port(2)])).unwrap();
        assert_eq!(hooks().len(), 1, "{:?}", hooks());
        host.add(&wanted(&[port(4)])).unwrap();
        assert!(host.verify(&wanted(&[port(3), port(4)])).unwrap().is_empty());
        assert_eq!(hooks().len(), 2, "{:?}", hooks());
        host.remove_all().unwrap();
        assert_eq!(tables(&mut host), Vec::<String>::new());
    }

    /// The usual host of virtual machines: its address is on a bridge with its network card, and guests come into that.
    fn who_administers_the_host_keeps_the_connection() {
        need(Capability::Tap);
        need(Capability::Bridge);
        support::sh(
            "ip netns add admin
             ip link add card type veth peer name eth0 netns admin
             ip link add lan0 type bridge
             ip link set card master lan0 up
             ip link set lan0 up
             ip address add 192.0.2.1/24 dev lan0
             ip -n admin address add 192.0.2.9/24 dev eth0
             ip -n admin link set eth0 up",
        );
        for port in [22, 23] {
            let listener = TcpListener::bind(("192.0.2.1", port)).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
                }
            });
        }
        let connect = |port: u16| {
            let to = SocketAddr::from(([192, 0, 2, 1], port));
            let admin = Netns::open("admin").unwrap();
            admin.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(3)))
        };
        let mut open = connect(22).unwrap();
        open.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let answers = |open: &mut TcpStream, word: &[u8; 4]| {
            open.write_all(word).unwrap();
            let mut said = [0; 4];
            open.read_exact(&mut said).unwrap();
            assert_eq!(&said, word);
        };
        answers(&mut open, b"one1");
        let guest = json!({"name": "vm", "placement": "host", "access": {"stateless": true}, "interfaces": [{
            "name": "tapvm", "bridge": "lan0", "mac": "02:00:5e:00:53:02", "private_ipv4": "192.0.2.2"}]});
        let with = |firewall: Value| spec(&json!({"version": 1, "guests": [guest], "firewall": firewall,
            "bridges": [{"name": "lan0", "existing": true}]}));
        let mut host = host();
        // Without protection, with it, and where the bridge is trusted.
        let services = json!([{"protocol": "tcp", "ports": ["22"]}]);
        for (firewall, other) in [
            (json!({}), true),
            (json!({"trusted": ["lan0", "card"]}), true),
            (json!({"host": {"services": services}}), false),
        ] {
            apply(&mut host, &with(firewall.clone()));
            answers(&mut open, b"two2");
            answers(&mut connect(22).unwrap(), b"new3");
            assert_eq!(connect(23).is_ok(), other, "{firewall}");
        }
    }
}
