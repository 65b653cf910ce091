//! Calling the real command.
#![allow(dead_code)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub const GUESTNET: &str = env!("CARGO_BIN_EXE_guestnet");

pub fn guestnet(arguments: &[&str], input: &str) -> Output {
    with_bytes(arguments, input.as_bytes())
}

pub fn with_bytes(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(GUESTNET);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that does not read its input ends before it is written.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Its exit code, standard output and standard error.
pub fn said(arguments: &[&str], input: &str) -> (i32, String, String) {
    let output = guestnet(arguments, input);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)).unwrap()
}
