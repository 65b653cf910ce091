//! Mistakes that everybody makes once: the command says what is wrong, where, and what to do.

mod call;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs::File;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use call::{GUESTNET, parsed, said, with_bytes};
use guestnet_lab::lab_test;
use serde_json::json;

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

/// Each with its exit code and what has to be said. Nothing of it comes as far as the host.
#[test]
fn bad_input_is_told_in_one_sentence() {
    let deep = format!("{{\"version\": 1, \"objects\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_toml = format!("a = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let utf16: Vec<u8> = "\u{feff}{\"version\": 1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let plan: &[&str] = &["plan", "-f", "-"];
    let toml: &[&str] = &["plan", "--format", "toml", "-f", "-"];
    let spec = "error: the spec has 1 problem:\n(the spec): ";
    let table: Vec<(&[&str], &[u8], i32, String)> = vec![
        // What is not there, or cannot be read.
        (&["plan", "-f", "/no/such"], b"", 1, "error: read /no/such: No such file or directory".into()),
        (&["plan", "-f", "/etc"], b"", 1, "it is a directory, and only regular files are read".into()),
        (&["plan", "-f", "/no/\u{1b}[2Jsuch"], b"", 1, "error: read /no/\\u{1b}[2Jsuch: ".into()),
        (plan, b"", 65, format!("{spec}is empty")),
        (plan, b" \n\t", 65, format!("{spec}is empty")),
        (toml, b"", 65, format!("{spec}is empty")),
        // What is no text, or another than JSON wants.
        (plan, &utf16, 65, format!("{spec}is in UTF-16 (little-endian, with a byte order mark)")),
        (plan, &utf16[2..], 65, format!("{spec}looks like UTF-16 (little-endian)")),
        (plan, b"\xef\xbb\xbf{\"version\": 1}", 65, format!("{spec}begins with a byte order mark")),
        (toml, b"\xef\xbb\xbfversion = 1", 65, format!("{spec}begins with a byte order mark")),
        (plan, b"\x7fELF\x02\x01\x01\0\0", 65, format!("{spec}is no text: there are NUL bytes")),
        (plan, b"{\"a\": \"caf\xe9\"}", 65, format!("{spec}is not UTF-8: byte 10, in line 1")),
        (plan, b"\x1f\x8b\x08\0\0", 65, format!("{spec}is compressed (gzip)")),
        // JSON and TOML with mistakes.
        (plan, deep.as_bytes(), 65, format!("{spec}is no JSON: recursion limit exceeded at line 1")),
        (toml, deep_toml.as_bytes(), 65, format!("{spec}is no TOML: cannot recurse further")),
        (plan, b"{\"version\": 1,}", 65, format!("{spec}is no JSON: trailing comma at line 1")),
        (plan, b"{\"version\": 1", 65, format!("{spec}is no JSON: EOF while parsing")),
        (plan, b"{\"version\": 1}{}", 65, format!("{spec}is no JSON: trailing characters")),
        (plan, b"{\"version\": 1, \"version\": 1}", 65, "version: is given twice".into()),
        (plan, b"{\"version\": 1e999}", 65, format!("{spec}is no JSON: number out of range")),
        (plan, b"{\"version\": NaN}", 65, format!("{spec}is no JSON: expected value")),
        (toml, b"version = 1\nversion = 1\n", 65, "is no TOML: duplicate key at line 2".into()),
        (toml, b"{\"version\": 1}", 65, format!("{spec}is no TOML: ")),
        // The wrong type at the top.
        (plan, b"null", 65, format!("{spec}invalid type: null, expected an object")),
        (plan, b"[]", 65, format!("{spec}invalid type: sequence, expected an object")),
        (plan, b"\"x\"", 65, format!("{spec}invalid type: string")),
        (plan, b"{}", 65, "version: is missing".into()),
        (&["rekey", "-f", "-"], b"{\"version\": 1}", 65, "act: is missing".into()),
        (&["rekey", "-f", "-"], b"[]", 65, "(the spec): invalid type: sequence, expected an object".into()),
        // Secrets beside it.
        (&["plan", "-f", "/dev/null", "--secrets", "-"], b"[]", 65, "secrets: they are a JSON object".into()),
        (&["plan", "-f", "/dev/null", "--secrets", "-"], &utf16, 65, "secrets: is in UTF-16".into()),
        // Wrong calls.
        (&["frob"], b"", 64, "unrecognized subcommand 'frob'".into()),
        (&["fr\u{202e}ob"], b"", 64, "unrecognized subcommand 'fr\\u{202e}ob'".into()),
        (&["plan"], b"", 64, "--file <FILE|->".into()),
        (
            &["plan", "-f", "-", "--wait", "soon"],
            b"",
            64,
            "invalid value 'soon' for '--wait <SECONDS>'".into(),
        ),
        (&["plan", "-f", "-", "-n", "../x"], b"", 64, "\"../x\" is not a namespace name".into()),
        (&["schema", "nosuch"], b"", 64, "possible values: spec, plan".into()),
    ];
    for (arguments, input, code, words) in table {
        let output = with_bytes(arguments, input);
        let err = String::from_utf8(output.stderr).unwrap();
        let input = String::from_utf8_lossy(input.get(..40).unwrap_or(input)).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {input:?}: {err}");
        assert!(err.contains(&words), "{arguments:?} {input:?}: wanted {words:?}: {err}");
        assert!(err.starts_with("error: ") && !err.contains("panicked"), "{err}");
        assert!(!err.chars().any(|c| c.is_control() && c != '\n'), "{err:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

/// Calls with standard output on a device that is full.
fn unheard(arguments: &[&str], input: &str) -> Output {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(GUESTNET);
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A call that reads no input may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn what_cannot_be_printed_is_a_failure() {
    for arguments in [&["render", "-f", "-"][..], &["--help"], &["--version"], &["schema"]] {
        let output = unheard(arguments, r#"{"version": 1, "objects": {"namespaces": {"a": {}}}}"#);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert!(err.contains("write to standard output: No space left on device"), "{arguments:?}: {err}");
    }
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

    /// The change was made, and whoever reads no standard output is told all the same.
    fn a_change_is_told_even_where_its_report_cannot_be_written() {
        let spec = r#"{"version": 1, "objects": {"namespaces": {"a": {}}}}"#;
        let output = unheard(&["apply", "-f", "-"], spec);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(74), "{err}");
        for words in ["the change was made", "No space left on device", "1 change made ("] {
            assert!(err.contains(words), "{words}: {err}");
        }
        assert_eq!(said(&["verify", "-f", "-"], spec).0, 0);

        let output = unheard(&["remove", "-o", "json"], "");
        let error = parsed(&String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(74), "{error}");
        assert_eq!((&error["class"], &error["state"]), (&json!("unreported"), &json!("done")));
        assert_eq!((&error["unwritten"]["kind"], &error["unwritten"]["changes"]), (&json!("report"), &json!(1)));
        assert_eq!(error["errno_name"], "ENOSPC");

        // Nobody reads it: the reader is gone before the spec is there.
        let apply = |input: &str| {
            let mut command = Command::new(GUESTNET);
            command.args(["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            drop(child.stdout.take());
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, err) = apply(spec);
        assert!(code == 74 && err.contains("Broken pipe") && err.contains("1 change made ("), "{code}: {err}");
        // Where there was nothing to do there is nothing that has to be heard.
        assert_eq!(apply(spec), (0, String::new()));
    }

    fn without_proc_it_says_what_to_mount() {
        let line = format!("umount -l /proc; {GUESTNET} show");
        let output = Command::new("unshare").args(["-m", "sh", "-c", &line]).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("hint: mount it: `mount -t proc proc /proc`"), "{err}");
    }

    fn a_namespace_that_is_not_there() {
        let (code, _, err) = said(&["show", "-n", "nosuch"], "");
        assert_eq!(code, 1);
        assert!(err.contains("nosuch") && err.contains("hint: `ip netns list`"), "{err}");
    }
}
