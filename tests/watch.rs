//! What is done to the system is told to whoever watches, and nothing else.

mod support;

use std::sync::{Arc, Mutex};

use guestnet::core::{Act, Deed, Protocol};
use guestnet::{Host, HostSpec};
use guestnet_lab::{Capability, lab_test, need};
use serde_json::json;
use support::{guest, host, spec, spec_of, with_uplink};

/// Lines of the acts on `host` from now on; those that ask start with `?`.
fn watched(host: &mut Host) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&lines);
    host.watch(move |act: &Act<'_>| {
        let sign = if matches!(act.deed, Deed::Ask(..)) { "?" } else { "" };
        if let Deed::Send(_, datagram) | Deed::Ask(_, datagram) = act.deed {
            let whole: usize = datagram.messages().map(|m| m.whole.len().next_multiple_of(4)).sum();
            assert_eq!(whole, datagram.bytes().len(), "all of it are messages");
        }
        noted.lock().unwrap().push(format!("{sign}{act}"));
    });
    lines
}

lab_test! {
    fn every_act_is_told_and_a_host_that_is_as_wanted_is_only_asked() {
        need(Capability::Tap);
        let _outside = with_uplink();
        let mut host = host();
        let told = watched(&mut host);
        let wanted = spec_of(&[guest("vm", 1)]);
        let acts = |told: &Mutex<Vec<String>>| -> Vec<String> {
            told.lock().unwrap().drain(..).filter(|line| !line.starts_with('?')).collect()
        };
        host.plan(&wanted).unwrap();
        assert!(!told.lock().unwrap().is_empty(), "questions are told too");
        assert_eq!(acts(&told), [""; 0]);

        let report = host.apply(&wanted).unwrap();
        let made = acts(&told);
        for start in [
            "vm: make namespace vm", "vm: send RTM_NEWLINK (", "vm: make tapvm tap", "host: sysctl net/ipv4/ip_forward=1",
            "vm: sysctl net/ipv4/ip_forward=1", "vm: send NFNL_MSG_BATCH_BEGIN, NFT_MSG_NEWTABLE, ",
            "host: write /run/guestnet/vm/dnsmasq.conf",
        ] {
            assert!(made.iter().any(|line| line.starts_with(start)), "{start}\n{made:#?}");
        }
        for word in ["host: send", "RTM_NEWADDR", "RTM_NEWROUTE", "RTM_NEWNEIGH"] {
            assert!(made.iter().any(|line| line.contains(word)), "{word}\n{made:#?}");
        }
        assert!(report.changes > 0);
        assert_eq!(host.apply(&wanted).unwrap().changes, 0);
        assert_eq!(acts(&told), [""; 0]);

        host.remove_all().unwrap();
        let gone = acts(&told);
        for start in ["vm: delete namespace vm", "host: remove /run/guestnet/vm/dnsmasq.conf"] {
            assert!(gone.iter().any(|line| line.starts_with(start)), "{start}\n{gone:#?}");
        }
    }

    fn keys_are_in_the_bytes_and_in_no_words() {
        need(Capability::Esp);
        let key: Vec<u8> = (0x6b..0x8f).collect();
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let wanted: HostSpec = spec(&json!({"version": 1, "objects": {"namespaces": {"a": {"states": [{
            "src": "2001:db8::1", "dst": "2001:db8::2", "spi": 4096, "reqid": 1, "key": digits,
        }]}}}}));
        let mut host = host();
        let (words, bytes) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(Vec::new())));
        let (said, sent) = (Arc::clone(&words), Arc::clone(&bytes));
        host.watch(move |act| {
            *said.lock().unwrap() += &format!("{act} {act:?}\n");
            if let Deed::Send(Protocol::Xfrm, datagram) = act.deed {
                sent.lock().unwrap().extend_from_slice(datagram.bytes());
            }
        });
        host.apply(&wanted).unwrap();
        assert!(bytes.lock().unwrap().windows(key.len()).any(|window| window == key));
        let words = words.lock().unwrap();
        assert!(words.contains("XFRM_MSG_NEWSA"), "{words}");
        assert!(!words.contains("6b6c") && !words.contains("107, 108"), "{words}");
    }
}
