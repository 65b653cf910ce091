//! Errors that say what was tried, on what, what the kernel answered, and what to do next.

use std::fmt;
use std::io;

use crate::problem::Problems;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The spec is wrong; nothing was touched. Holds every problem, not the first.
    #[error("the spec has {count}:\n{0}", count = counted(.0.len(), "problem"))]
    Spec(Problems),

    /// Objects of others stand where ours should; nothing was touched.
    #[error("{count} in the way, nothing was changed:\n{list}", count = counted(.0.len(), "foreign object"), list = .0.join("\n"))]
    Foreign(Vec<String>),

    /// The kernel refused a request.
    #[error("{0}")]
    Kernel(Box<KernelError>),

    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, and on what.
        what: String,
        /// The system's answer.
        source: io::Error,
    },

    /// Something answered in a way that cannot be understood.
    #[error("{what}: {message}")]
    Malformed {
        /// What was read.
        what: String,
        /// What was wrong with it.
        message: String,
    },

    /// Somebody else is at work on the same host, or a dump was interrupted too often. Trying again may help.
    #[error("{0}")]
    Busy(String),

    /// The kernel cannot do what the spec needs.
    #[error("{0}")]
    Unsupported(String),
}

/// `1 problem`, `2 problems`.
fn counted(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

impl Error {
    /// An I/O error with what was tried.
    #[cold]
    pub fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }

    /// An answer that cannot be understood.
    #[cold]
    pub fn malformed(what: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::Malformed { what: what.into(), message: message.to_string() }
    }

    /// The `errno` behind the error, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel(e) => Some(e.errno),
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Whether the caller lacks a right (`EPERM`, `EACCES`); root or `CAP_NET_ADMIN` would help.
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), Some(libc::EPERM | libc::EACCES))
    }

    /// Whether the same call may succeed later.
    pub fn can_retry(&self) -> bool {
        matches!(self, Self::Busy(_))
            || matches!(self.errno(), Some(libc::EBUSY | libc::EINTR | libc::EAGAIN))
    }
}

impl From<KernelError> for Error {
    #[cold]
    fn from(error: KernelError) -> Self {
        Self::Kernel(Box::new(error))
    }
}

impl From<Problems> for Error {
    #[cold]
    fn from(problems: Problems) -> Self {
        Self::Spec(problems)
    }
}

/// The kernel's refusal of one netlink message, with all that it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelError {
    /// What was asked of the kernel: `add route 10.0.0.0/8 via 10.0.0.1 dev eth0`. Never contains a secret.
    pub what: String,
    /// The error number, positive (`ENOENT` is 2).
    pub errno: i32,
    /// The words of the extended ACK (`NLMSGERR_ATTR_MSG`), where the kernel gave any.
    pub words: Option<String>,
    /// The attribute that the kernel points at (`NLMSGERR_ATTR_OFFS`), as a path of attribute types: `5` or `18.2`.
    pub attribute: Option<String>,
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel refused to {}: ", self.what)?;
        let errno = nix::errno::Errno::from_raw(self.errno);
        match &self.words {
            Some(words) => write!(f, "{words} ({errno:?})")?,
            None => write!(f, "{} ({errno:?})", errno.desc())?,
        }
        if let Some(attribute) = &self.attribute {
            write!(f, ", at attribute {attribute} of the request")?;
        }
        Ok(())
    }
}

impl std::error::Error for KernelError {}
