//! The document of an error.

use guestnet_core::{Error as CoreError, KernelError, Problem};
use nix::errno::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{DocumentKind, VERSION};
use crate::report::{Error, Refusal, State};

/// Why guestnet could not do what it was asked to, and in what state that left the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorDocument {
    /// The version of this form: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// `error`.
    #[schemars(extend("const" = "error"))]
    pub kind: DocumentKind,
    /// What sort of failure it is.
    pub class: ErrorClass,
    /// With what the command exits after an error of this class.
    pub exit_code: u8,
    /// All of it in words, as it is printed for people; several lines where there is much to say.
    pub message: String,
    /// What to do next, where that can be said.
    pub hint: Option<String>,
    /// Whether the same call may succeed later.
    pub can_retry: bool,
    /// All that is wrong with the spec.
    pub problems: Vec<Problem>,
    /// What others have where guestnet's should be, a line each.
    pub conflicts: Vec<String>,
    /// What was refused under way.
    pub refusals: Vec<RefusalDocument>,
    /// The error number of the system, of the first refusal if there are several: 1 is `EPERM`.
    pub errno: Option<i32>,
    /// Its name: `EPERM`.
    pub errno_name: Option<String>,
    /// The kernel's own words (the extended ACK), of the first refusal that has any.
    pub kernel_words: Option<String>,
    /// The state of the host.
    pub state: HostState,
    /// Of a change that was made and of which the report could not be written to standard output: that report, as it
    /// would have been printed (`unreported`).
    pub unwritten: Option<Value>,
    /// Of a host that was only `partly_undone`, what differs from before; of an `unstable` one, what differs from the
    /// spec: lines of a plan.
    pub differences: Vec<String>,
}

/// What sort of failure an error is. Each has one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorClass {
    /// The command was called wrongly: 64.
    Usage,
    /// The spec is wrong: 65. `problems` has all that is.
    Spec,
    /// Somebody else is at work on the host: 75. The same call may succeed later.
    Busy,
    /// The caller lacks a right: 77.
    NotPermitted,
    /// Objects of others stand where guestnet's should: 1. `conflicts` has them.
    Conflict,
    /// Links that somebody uses would have to be deleted and made again: 1. `conflicts` has them.
    InUse,
    /// The kernel refused something: 1.
    Refused,
    /// The kernel lacks what the spec needs: 1.
    Unsupported,
    /// A file, a stream or another call of the system failed: 1.
    System,
    /// Something answered in a way that cannot be understood: 1.
    Malformed,
    /// All was accepted, and still the host is not as wanted: 1.
    Unstable,
    /// All was done, and the report of it could not be written to standard output: 74. `unwritten` has it.
    Unreported,
}

/// What state a failure left the host in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// Nothing was changed.
    Unchanged,
    /// What had been done was undone: the host is as before.
    Undone,
    /// Undoing failed too; `differences` says what differs from before.
    PartlyUndone,
    /// All was done, and `differences` says what differs from the spec all the same.
    Unstable,
    /// All was done.
    Done,
}

/// One refused change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub struct RefusalDocument {
    /// Kind and key of the object, and its namespace.
    pub object: String,
    /// The part of the spec that asked for it, where it is known: `guests[0].interfaces[1]`.
    pub path: Option<String>,
    /// What was asked and what the answer was.
    pub message: String,
    /// The error number.
    pub errno: Option<i32>,
    /// Its name: `EPERM`.
    pub errno_name: Option<String>,
    /// The kernel's own words (the extended ACK), where it gave any.
    pub kernel_words: Option<String>,
}

impl ErrorClass {
    /// With what the command exits.
    pub fn exit_code(self) -> u8 {
        match self {
            // The names of sysexits(3): EX_USAGE, EX_DATAERR, EX_IOERR, EX_TEMPFAIL, EX_NOPERM.
            Self::Usage => 64,
            Self::Spec => 65,
            Self::Unreported => 74,
            Self::Busy => 75,
            Self::NotPermitted => 77,
            _ => 1,
        }
    }
}

impl Error {
    /// What sort of failure it is.
    pub fn class(&self) -> ErrorClass {
        match self.core() {
            _ if self.is_permission() => ErrorClass::NotPermitted,
            _ if self.can_retry() => ErrorClass::Busy,
            None => ErrorClass::Unstable,
            Some(CoreError::Spec(_)) => ErrorClass::Spec,
            Some(CoreError::Foreign(_)) => ErrorClass::Conflict,
            Some(CoreError::InUse(_)) => ErrorClass::InUse,
            Some(CoreError::Kernel(_)) => ErrorClass::Refused,
            Some(CoreError::Unsupported(_)) => ErrorClass::Unsupported,
            Some(CoreError::Malformed { .. }) => ErrorClass::Malformed,
            Some(_) => ErrorClass::System,
        }
    }
}

impl ErrorDocument {
    /// An error of which only its class and words are known: a wrong call of the command.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            version: VERSION,
            kind: DocumentKind::Error,
            class,
            exit_code: class.exit_code(),
            message: message.into(),
            hint: None,
            can_retry: class == ErrorClass::Busy,
            problems: Vec::new(),
            conflicts: Vec::new(),
            refusals: Vec::new(),
            errno: None,
            errno_name: None,
            kernel_words: None,
            state: HostState::Unchanged,
            unwritten: None,
            differences: Vec::new(),
        }
    }

    /// The error that `error` kept the report of a change from being written. `text` is that report for people, `report`
    /// for programs.
    pub fn unreported(error: &std::io::Error, text: &str, report: Option<Value>) -> Self {
        let message = format!(
            "the change was made, but its report cannot be written to standard output: {error}\n{text}"
        );
        Self {
            state: HostState::Done,
            unwritten: report,
            errno: error.raw_os_error(),
            errno_name: error.raw_os_error().and_then(name_of),
            ..Self::new(ErrorClass::Unreported, message)
        }
    }
}

impl From<&Error> for ErrorDocument {
    fn from(error: &Error) -> Self {
        let mut document = Self::new(error.class(), error.to_string());
        document.hint = error.hint().map(str::to_owned);
        document.can_retry = error.can_retry();
        document.errno = error.errno();
        document.errno_name = error.errno().and_then(name_of);
        document.kernel_words = error.core().and_then(words_of);
        match error {
            Error::Core(CoreError::Spec(problems)) => document.problems = problems.iter().cloned().collect(),
            Error::Core(CoreError::Foreign(lines) | CoreError::InUse(lines)) => {
                document.conflicts.clone_from(lines)
            }
            Error::Core(_) => {}
            Error::Apply(failure) => {
                document.refusals = failure.refusals.iter().map(RefusalDocument::from).collect();
                if document.kernel_words.is_none() {
                    document.kernel_words = failure.refusals.iter().find_map(|r| words_of(&r.error));
                }
                (document.state, document.differences) = match &failure.state {
                    State::Undone(0) => (HostState::Unchanged, Vec::new()),
                    State::Undone(_) | State::Mended(_) => (HostState::Undone, Vec::new()),
                    State::PartlyUndone(lines) => (HostState::PartlyUndone, lines.clone()),
                    State::Unstable(lines) => (HostState::Unstable, lines.clone()),
                };
            }
        }
        document
    }
}

impl From<&Refusal> for RefusalDocument {
    fn from(refusal: &Refusal) -> Self {
        Self {
            object: refusal.object.clone(),
            path: refusal.path.clone(),
            message: refusal.error.to_string(),
            errno: refusal.error.errno(),
            errno_name: refusal.error.errno().and_then(name_of),
            kernel_words: words_of(&refusal.error),
        }
    }
}

fn words_of(error: &CoreError) -> Option<String> {
    match error {
        CoreError::Kernel(kernel) => {
            let KernelError { words, .. } = kernel.as_ref();
            words.clone()
        }
        _ => None,
    }
}

fn name_of(errno: i32) -> Option<String> {
    match Errno::from_raw(errno) {
        Errno::UnknownErrno => None,
        known => Some(format!("{known:?}")),
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ErrorDocument::from(self).serialize(serializer)
    }
}
