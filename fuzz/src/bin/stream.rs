//! Makes an input of a recording: `stream RECORDING > INPUT`. With kinds of messages behind it only these: `stream RECORDING 16 20`.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use guestnet_fuzz::kernel::{FILE, NAMESPACE, PROTOCOL, message, messages};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((file, kinds)) = arguments.split_first() else {
        return fail("give a file that `guestnet plan --record FILE` has written");
    };
    let kinds: BTreeSet<u16> = kinds.iter().filter_map(|kind| kind.parse().ok()).collect();
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string());
    let recording = text.and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()));
    match recording.map(|recording: Value| stream(&recording, &kinds)) {
        Ok(stream) if std::io::stdout().write_all(&stream).is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(words) => fail(&format!("{file}: {words}")),
    }
}

fn fail(words: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {words}");
    ExitCode::FAILURE
}

fn stream(recording: &Value, kinds: &BTreeSet<u16>) -> Vec<u8> {
    let mut stream = Vec::new();
    for namespace in list(&recording["namespaces"]) {
        if let Some(name) = namespace["name"].as_str() {
            stream.extend(message(NAMESPACE, name.as_bytes()));
        }
        let mut seen = BTreeSet::new();
        let mut protocol = "";
        for question in list(&namespace["questions"]) {
            let spoken = question["protocol"].as_str().unwrap_or_default();
            let answers = list(&question["answers"]).take(1).flat_map(list).filter_map(Value::as_str);
            for answer in answers.map(bytes) {
                for (kind, whole) in messages(&answer) {
                    let is_object = if kinds.is_empty() { kind >= 16 } else { kinds.contains(&kind) };
                    if !is_object || !seen.insert((spoken, whole.to_vec())) {
                        continue;
                    }
                    if protocol != spoken {
                        stream.extend(message(PROTOCOL, spoken.as_bytes()));
                        protocol = spoken;
                    }
                    stream.extend(whole);
                }
            }
        }
        let files = namespace["files"].as_object().into_iter().flatten().filter(|_| kinds.is_empty());
        for (path, text) in files.filter_map(|(path, text)| Some((path, text.as_str()?))) {
            stream.extend(message(FILE, format!("{path}\0{text}").as_bytes()));
        }
    }
    stream
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
