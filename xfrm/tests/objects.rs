//! States and policies given directly: how they are read and what is wrong with them. No kernel.

use guestnet_core::owner::REQIDS;
use guestnet_core::problem::{Path, Problems};
use guestnet_core::{Object, Set};
use guestnet_xfrm::{Policy, State};

fn paths(check: impl FnOnce(&Path, &mut Problems)) -> Vec<String> {
    let mut problems = Problems::new();
    check(&Path::root(), &mut problems);
    problems.iter().map(|problem| problem.path.to_string()).collect()
}

#[test]
fn every_mistake_in_a_state_is_found_at_its_place() {
    let state: State = serde_json::from_str(
        r#"{
            "src": "192.0.2.1", "dst": "ff02::1", "spi": 256, "reqid": 1, "mode": "transport",
            "algorithm": "aes256_gcm", "key": "0x000102030405060708090a0b0c0d0e0f10111213",
            "replay_window": 5000, "esn": true, "direction": "out",
            "selector": {"src": "fd00::/64", "dst": "fd01::1/64"},
            "lifetimes": {"soft": {"seconds": 2}, "hard": {"seconds": 1}},
            "mark": {"value": 1, "mask": 0}
        }"#,
    )
    .unwrap();
    let expected = [
        "dst",
        "dst",
        "reqid",
        "key",
        "replay_window",
        "replay_window",
        "selector.dst",
        "selector",
        "lifetimes.soft.seconds",
        "mark.mask",
    ];
    assert_eq!(paths(|path, problems| state.check(&REQIDS, path, problems)), expected);
    let zero = State { replay_window: 0, direction: None, ..state };
    assert!(
        paths(|path, problems| zero.check(&REQIDS, path, problems)).contains(&"replay_window".to_owned())
    );
}

#[test]
fn every_mistake_in_a_policy_is_found_at_its_place() {
    let policy: Policy = serde_json::from_str(
        r#"{
            "selector": {"src": "10.0.0.1/8", "dst": "10.0.0.0/8"}, "direction": "out",
            "templates": [{"src": "::2", "dst": "192.0.2.1", "reqid": 1, "level": "use"}]
        }"#,
    )
    .unwrap();
    let expected = ["selector.src", "templates[0].dst", "templates[0].reqid", "templates[0].level"];
    assert_eq!(paths(|path, problems| policy.check(&REQIDS, path, problems)), expected);
    let bare = Policy { templates: vec![], ..policy.clone() };
    assert_eq!(paths(|path, problems| bare.check(&REQIDS, path, problems)), ["selector.src", "templates"]);
    assert_eq!(paths(|path, problems| bare.check(&(0..=u32::MAX), path, problems)), ["selector.src"]);
    let many = Policy { templates: vec![policy.templates[0].clone(); 7], ..policy };
    assert_eq!(paths(|path, problems| many.check(&REQIDS, path, problems))[1], "templates");
}

#[test]
fn unknown_fields_and_doubled_keys_are_refused() {
    let state =
        r#"{"src": "::1", "dst": "::2", "spi": 256, "key": "0x000102030405060708090a0b0c0d0e0f10111213"}"#;
    assert!(serde_json::from_str::<State>(state).is_ok());
    assert!(serde_json::from_str::<State>(&state.replace("spi", "spy")).is_err());
    let twice = serde_json::from_str::<Set<State>>(&format!("[{state}, {state}]")).unwrap_err().to_string();
    assert!(twice.contains("dst ::2 proto esp spi 0x00000100"), "{twice}");
}

#[test]
fn a_change_is_told_without_the_key() {
    let old: State = serde_json::from_str(
        r#"{"src": "::1", "dst": "::2", "spi": 256, "key": "0x000102030405060708090a0b0c0d0e0f10111213"}"#,
    )
    .unwrap();
    let mut new = old.clone();
    new.key = "0x100102030405060708090a0b0c0d0e0f10111213".parse::<guestnet_xfrm::Key>().unwrap().into();
    new.reqid = 5;
    let prints = [&new, &old].map(|state| state.key.fingerprint().unwrap());
    assert_eq!(
        new.changed_from(&old),
        format!(
            "src ::1 dst ::2 proto esp spi 0x00000100 reqid 5 mode tunnel  (reqid 5, was 0; key (hidden) {}, was {})",
            prints[0], prints[1]
        )
    );
    let shown = format!("{old:?} {} {}", old.to_ip(), serde_json::to_string(&old).unwrap());
    assert!(!shown.contains("0102"), "{shown}");
}
