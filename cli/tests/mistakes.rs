//! Mistakes that everybody makes once: the command says what is wrong, where, and what to do.

mod call;
#[path = "../../tests/support/mod.rs"]
mod support;

use call::said;
use guestnet_lab::lab_test;

/// What is said of `spec` by `guestnet plan`.
fn of(spec: &str) -> String {
    let (code, out, err) = said(&["plan", "-f", "-"], spec);
    assert_eq!((code, out.as_str()), (65, ""), "{err}");
    err
}

#[test]
fn a_name_that_is_nearly_right() {
    let said = of(r#"{"version": 1, "guests": [{"name": "a", "interface": [{"name": "tapa"}]}]}"#);
    assert!(
        said.contains("guests[0].interface: unknown field `interface`; is `interfaces` meant?"),
        "{said}"
    );
    assert!(said.contains("hint: `guestnet schema` says"), "{said}");
    let far = of(r#"{"version": 1, "colour": "red"}"#);
    assert!(far.contains("colour: unknown field `colour`, expected one of `version`, `uplink`"), "{far}");
}

#[test]
fn a_value_of_another_type() {
    let said = of(r#"{"version": "1", "guests": [{"name": 5}]}"#);
    assert!(said.contains("version: invalid type: string, expected a number from 0"), "{said}");
    assert!(said.contains("guests[0].name: invalid type: integer, expected a string"), "{said}");
}

#[test]
fn another_language() {
    let said = of("version = 1\n");
    assert!(said.contains("is no JSON") && said.contains("hint: TOML is read"), "{said}");
}

#[test]
fn the_long_help_is_a_way_in() {
    let (code, long, _) = said(&["--help"], "");
    assert_eq!(code, 0);
    assert!(long.contains("First steps:") && long.contains("Exit codes:"), "{long}");
    // What it shows is a spec.
    let spec = long.split("one guest:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_eq!(said(&["render", "-f", "-"], spec).0, 0, "{spec}");
    let (_, short, _) = said(&["-h"], "");
    assert!(!short.contains("First steps:") && short.contains("Exit codes:"), "{short}");
}

lab_test! {
    fn an_uplink_that_is_not_there() {
        let spec = r#"{"version": 1, "uplink": "eth9", "guests": [{"name": "a", "proxied": ["2001:db8::1"]}]}"#;
        let (code, _, err) = said(&["apply", "-f", "-"], spec);
        assert_eq!(code, 1);
        for words in ["eth9", "spec:  guests[0].proxied", "state: undone", "hint: ", "`ip link`"] {
            assert!(err.contains(words), "{words}: {err}");
        }
        let (code, out, _) = said(&["doctor", "-f", "-"], spec);
        assert_eq!(code, 1);
        assert!(out.contains("the uplink eth9 is not there"), "{out}");
    }

    fn a_namespace_that_is_not_there() {
        let (code, _, err) = said(&["show", "-n", "nosuch"], "");
        assert_eq!(code, 1);
        assert!(err.contains("nosuch") && err.contains("hint: `ip netns list`"), "{err}");
    }
}
