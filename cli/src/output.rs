//! Printing, for people or for programs. Colour only says again what the signs say already.

use std::io::{self, IsTerminal, Write};

use guestnet::Error;
use serde_json::json;

use crate::answer::Answer;
use crate::args::OutputFormat;
use crate::exit::Failure;

/// The version of the documents that `--output json` prints.
const VERSION: u32 = 1;

/// How to print.
pub struct Output {
    json: bool,
    colour: bool,
}

impl Output {
    /// Colour only on a terminal, and never where `NO_COLOR` is set to anything.
    pub fn new(format: OutputFormat) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json: format == OutputFormat::Json, colour: wanted && io::stdout().is_terminal() }
    }

    /// Prints what a command has to say, on standard output. Returns with what to exit.
    pub fn answer(&self, answer: &Answer) -> Result<u8, Failure> {
        let failed = |e: serde_json::Error| Failure::Io("write JSON".into(), e.into());
        let text = if self.json { answer.document.json().map_err(failed)? } else { answer.document.text() };
        if self.colour && answer.coloured && !self.json {
            print(&text.lines().map(|line| coloured(line) + "\n").collect::<String>())?;
        } else {
            print(&(text + "\n"))?;
        }
        Ok(answer.code)
    }

    /// An error, on standard error.
    pub fn failure(&self, failure: &Failure) {
        if !self.json {
            eprintln!("error: {failure}");
            if let Failure::Library(error) = failure
                && let Some(hint) = error.hint()
            {
                eprintln!("\nhint: {hint}");
            }
            return;
        }
        let mut document =
            json!({ "version": VERSION, "error": failure.to_string(), "exit_code": failure.code() });
        if let Failure::Library(error) = failure {
            document["errno"] = json!(error.errno());
            document["can_retry"] = json!(error.can_retry());
            document["hint"] = json!(error.hint());
            match error {
                Error::Core(guestnet::core::Error::Spec(problems)) => document["problems"] = json!(problems),
                Error::Core(guestnet::core::Error::Foreign(lines)) => document["foreign"] = json!(lines),
                Error::Apply(apply) => {
                    let refusals = apply.refusals.iter().map(|refusal| {
                        json!({ "object": refusal.object, "path": refusal.path, "error": refusal.error.to_string() })
                    });
                    document["refusals"] = refusals.collect();
                    document["undone"] = json!(matches!(apply.state, guestnet::State::Undone(_)));
                }
                _ => {}
            }
        }
        eprintln!("{document:#}");
    }
}

fn coloured(line: &str) -> String {
    let code = match line.chars().next() {
        Some('+') => 32,
        Some('-') => 31,
        Some('~') => 33,
        Some('!') => 35,
        _ => return line.to_owned(),
    };
    format!("\x1b[{code}m{line}\x1b[0m")
}

/// Writes to standard output; that nobody reads it (`| head`) is no failure of ours.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Io("write to standard output".into(), e))
        }
        _ => Ok(()),
    }
}
