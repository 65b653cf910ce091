//! Printing, for people or for programs. Colour only says again what the signs say already.

use std::io::{self, IsTerminal, Write};

use guestnet::core::visible_lines;
use guestnet::document::ErrorDocument;

use crate::answer::Answer;
use crate::args::OutputFormat;
use crate::exit::Failure;

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
    ///
    /// A reader that goes away (`| head`) is no failure of ours, unless the answer tells of a change: then it is told on
    /// standard error.
    pub fn answer(&self, answer: &Answer) -> Result<u8, Failure> {
        let text = || visible_lines(&answer.document.text()).into_owned();
        let said = match self.json {
            true => answer.document.json().map_err(|e| Failure::io("write JSON", e))? + "\n",
            false if self.colour && answer.coloured => {
                text().lines().map(|line| coloured(line) + "\n").collect::<String>()
            }
            false => text() + "\n",
        };
        match print(&said) {
            Ok(()) => Ok(answer.code),
            Err(error) if answer.tells_of_change => {
                let report = answer.document.json().ok().and_then(|json| serde_json::from_str(&json).ok());
                Err(Failure::Unreported(Box::new(ErrorDocument::unreported(&error, &text(), report))))
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(answer.code),
            Err(error) => Err(Failure::io("write to standard output", error)),
        }
    }

    /// An error, on standard error. In JSON it is one line, so that it can be told from what `-v` printed before it.
    pub fn failure(&self, failure: &Failure) {
        let document = failure.document();
        let text = if self.json {
            // All that it has is text and numbers.
            serde_json::to_string(&document).unwrap_or_default()
        } else {
            let hint = document.hint.map(|hint| format!("\n\nhint: {hint}"));
            visible_lines(&format!("error: {}{}", document.message, hint.unwrap_or_default())).into_owned()
        };
        // Where nobody hears it the exit code still says it.
        let _ = writeln!(io::stderr(), "{text}");
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

/// Writes to standard output.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}
