//! Exit codes. They are stable: scripts rely on them.

use guestnet::core::Error as CoreError;
use guestnet::document::{ErrorClass, ErrorDocument};
use guestnet::{Error, Problem};

/// In sync, or done.
pub const DONE: u8 = 0;
/// Failed; what state the host is in stands in the message.
pub const FAILED: u8 = 1;
/// `plan`: changes are pending. `doctor`: warnings.
pub const PENDING: u8 = 2;

/// The table of exit codes for the help.
pub const HELP: &str = "Exit codes:
   0  in sync, or done
   1  failed (verify: differs, or a tunnel refuses packets; doctor: errors; explain: dropped); the message says in what state the host was left
   2  plan: changes are pending; doctor: warnings
  64  called wrongly
  65  the spec is wrong; nothing was touched
  74  done, but the report could not be written to standard output; the message has it
  75  busy; the same call may succeed later
  77  not permitted";

/// What the long help ends with: the way in.
pub const MORE_HELP: &str = r#"First steps:
  guestnet doctor -f host.json   what is in the way on this machine
  guestnet plan -f host.json     what would change: + made, ~ changed, - removed, ! in the way
  guestnet apply -f host.json    change it; a second time there is nothing to do
  guestnet verify -f host.json   is it still so?

A host with one guest:
  {"version": 1, "guests": [{"name": "web1", "interfaces": [
    {"name": "tapweb1", "public_ipv4": "203.0.113.17", "private_ipv4": "192.168.0.85"}]}]}

For programs: with -o json results and errors are documents, and `guestnet schema --help` lists their schemas. Errors go
to standard error. Secrets are given in files, by --secrets, or in the spec on standard input; never as arguments.
"#;

/// Why the command failed.
#[derive(Debug)]
pub enum Failure {
    /// The library's word.
    Library(Error),
    /// The command was called wrongly.
    Usage(String),
    /// A change was made, and its report cannot be written.
    Unreported(Box<ErrorDocument>),
}

impl Failure {
    /// A file or a stream.
    pub fn io(what: impl Into<String>, error: impl Into<std::io::Error>) -> Self {
        Self::Library(CoreError::io(what, error).into())
    }

    /// The document of the failure.
    pub fn document(&self) -> ErrorDocument {
        match self {
            Self::Library(error) => {
                let mut document = ErrorDocument::from(error);
                if document.class == ErrorClass::Spec {
                    document.hint = hint(&document.problems).map(str::to_owned);
                }
                document
            }
            Self::Usage(words) => ErrorDocument::new(ErrorClass::Usage, words),
            Self::Unreported(document) => (**document).clone(),
        }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.document().exit_code
    }
}

/// What helps with a wrong spec.
fn hint(problems: &[Problem]) -> Option<&'static str> {
    match problems {
        [only] if only.path.as_str() == "secrets" => None,
        [only] if only.message.starts_with("is no JSON") => {
            Some("TOML is read from files that end in .toml, or with --format toml")
        }
        // It is not even read as far as its fields.
        [only] if only.path.as_str().is_empty() && only.message.starts_with("is ") => None,
        [only] if only.message.starts_with("begins with ") || only.message.starts_with("looks like ") => None,
        _ => Some("`guestnet schema` says all that a spec can have"),
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
