//! What a command has to say: a document, for people or for programs, and an exit code.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use guestnet::core::visible;
use serde::Serialize;

use crate::exit;

/// What can be printed both ways.
pub trait Document {
    /// For people. Ends without a line feed.
    fn text(&self) -> String;

    /// For programs.
    fn json(&self) -> serde_json::Result<String>;
}

impl<T: fmt::Display + Serialize> Document for T {
    fn text(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

/// A document that is JSON for people too.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Json<T>(pub T);

impl<T: Serialize> fmt::Display for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string_pretty(&self.0).map_err(|_| fmt::Error)?;
        // JSON escapes fewer characters than a terminal obeys; those that are left stand in strings.
        for c in text.chars() {
            let mut units = [0; 2];
            match c {
                '\n' => f.write_char(c)?,
                c if matches!(visible(c.encode_utf8(&mut [0; 4])), Cow::Owned(_)) => {
                    c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}"))?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// What a command has to say.
pub struct Answer {
    pub document: Box<dyn Document>,
    pub code: u8,
    pub coloured: bool,
    /// Whether it tells of what was changed on the host: then it has to be heard.
    pub tells_of_change: bool,
}

impl Answer {
    /// Done, and here is what came of it.
    pub fn new(document: impl Document + 'static) -> Self {
        Self { document: Box::new(document), code: exit::DONE, coloured: false, tells_of_change: false }
    }

    /// Exits with `code`.
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// Something was `changed` on the host, and this is the report of it.
    pub fn of_change(self, changed: bool) -> Self {
        Self { tells_of_change: changed, ..self }
    }

    /// On a terminal, colours lines by their sign: `+`, `~`, `-`, `!`.
    pub fn in_colour(self) -> Self {
        Self { coloured: true, ..self }
    }
}
