//! Exit codes. They are stable: scripts rely on them.

use std::fmt;

use guestnet::Error;
use guestnet::core::Error as CoreError;
use guestnet::document::{ErrorClass, ErrorDocument};

/// In sync, or done.
pub const DONE: u8 = 0;
/// Failed; what state the host is in stands in the message.
pub const FAILED: u8 = 1;
/// `plan`: changes are pending. `doctor`: warnings.
pub const PENDING: u8 = 2;

/// The table of exit codes for the help.
pub const HELP: &str = "Exit codes:
   0  in sync, or done
   1  failed (verify: differs; doctor: errors; explain: dropped); the message says in what state the host was left
   2  plan: changes are pending; doctor: warnings
  64  called wrongly
  65  the spec is wrong; nothing was touched
  75  busy; the same call may succeed later
  77  not permitted";

/// Why the command failed.
#[derive(Debug)]
pub enum Failure {
    /// The library's word.
    Library(Error),
    /// The command was called wrongly.
    Usage(String),
}

impl Failure {
    /// A file or a stream.
    pub fn io(what: impl Into<String>, error: impl Into<std::io::Error>) -> Self {
        Self::Library(CoreError::io(what, error).into())
    }

    /// The document of the failure.
    pub fn document(&self) -> ErrorDocument {
        match self {
            Self::Library(error) => error.into(),
            Self::Usage(words) => ErrorDocument::new(ErrorClass::Usage, words),
        }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.document().exit_code
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<CoreError> for Failure {
    fn from(error: CoreError) -> Self {
        Self::Library(error.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) => error.fmt(f),
            Self::Usage(words) => f.write_str(words),
        }
    }
}
