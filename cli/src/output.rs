//! Printing, for people or for programs. Colour only says again what the signs say already.

use std::io::IsTerminal;

use guestnet::{Error, HostSpec, Plan, Report};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::OutputFormat;
use crate::exit::Failure;
use crate::print;

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
        Self { json: format == OutputFormat::Json, colour: wanted && std::io::stdout().is_terminal() }
    }

    /// One JSON document.
    pub fn json(&self, document: &impl Serialize) -> Result<(), Failure> {
        let failed = |e: serde_json::Error| Failure::Io("write JSON".into(), e.into());
        print(&(serde_json::to_string_pretty(document).map_err(failed)? + "\n"))
    }

    /// A plan.
    pub fn plan(&self, plan: &Plan) -> Result<(), Failure> {
        if self.json {
            return self.json(plan);
        }
        let text: String = plan.to_string().lines().map(|line| self.coloured(line) + "\n").collect();
        print(&text)
    }

    fn coloured(&self, line: &str) -> String {
        let code = match line.chars().next() {
            Some('+') => 32,
            Some('-') => 31,
            Some('~') => 33,
            Some('!') => 35,
            _ => 0,
        };
        if self.colour && code != 0 { format!("\x1b[{code}m{line}\x1b[0m") } else { line.to_owned() }
    }

    /// What an apply did.
    pub fn report(&self, report: &Report) -> Result<(), Failure> {
        if !self.json {
            return print(&format!("{report}\n"));
        }
        let mut document = serde_json::to_value(report).unwrap_or(Value::Null);
        if let Value::Object(fields) = &mut document {
            fields.insert("version".into(), VERSION.into());
        }
        self.json(&document)
    }

    /// A host, in the form of a spec. The form is JSON for people too.
    pub fn spec(&self, spec: &HostSpec) -> Result<(), Failure> {
        self.json(spec)
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
