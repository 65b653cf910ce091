//! Exit codes. They are stable: scripts rely on them.

use std::fmt;
use std::io;

use guestnet::Error;

/// In sync, or done.
pub const DONE: u8 = 0;
/// Failed; what state the host is in stands in the message.
pub const FAILED: u8 = 1;
/// `plan`: changes are pending.
pub const PENDING: u8 = 2;
/// The command was called wrongly (`EX_USAGE` of sysexits(3)).
pub const USAGE: u8 = 64;
/// The spec is wrong (`EX_DATAERR`); nothing was touched.
const BAD_SPEC: u8 = 65;
/// Try again later (`EX_TEMPFAIL`).
const TRY_AGAIN: u8 = 75;
/// Not permitted (`EX_NOPERM`).
const NOT_PERMITTED: u8 = 77;

/// The table of exit codes for the help.
pub const HELP: &str = "Exit codes:
   0  in sync, or done
   1  failed (verify: differs); the message says in what state the host was left
   2  plan: changes are pending
  64  called wrongly
  65  the spec is wrong; nothing was touched
  75  busy; the same call may succeed later
  77  not permitted";

/// Why the command failed.
#[derive(Debug)]
pub enum Failure {
    /// The library's word.
    Library(Error),
    /// A file or a stream.
    Io(String, io::Error),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Library(Error::Core(guestnet::core::Error::Spec(_))) => BAD_SPEC,
            Self::Library(error) if error.is_permission() => NOT_PERMITTED,
            Self::Library(error) if error.can_retry() => TRY_AGAIN,
            Self::Io(_, error) if error.kind() == io::ErrorKind::PermissionDenied => NOT_PERMITTED,
            _ => FAILED,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) => error.fmt(f),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}
