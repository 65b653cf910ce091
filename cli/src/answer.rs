//! What a command has to say: a document, for people or for programs, and an exit code.

use std::fmt;

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
        f.write_str(&serde_json::to_string_pretty(&self.0).map_err(|_| fmt::Error)?)
    }
}

/// What a command has to say.
pub struct Answer {
    pub document: Box<dyn Document>,
    pub code: u8,
    pub coloured: bool,
}

impl Answer {
    /// Done, and here is what came of it.
    pub fn new(document: impl Document + 'static) -> Self {
        Self { document: Box::new(document), code: exit::DONE, coloured: false }
    }

    /// Exits with `code`.
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// On a terminal, colours lines by their sign: `+`, `~`, `-`, `!`.
    pub fn in_colour(self) -> Self {
        Self { coloured: true, ..self }
    }
}
