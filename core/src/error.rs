//! Errors that say what was tried, on what, what the kernel answered, and what to do next.

use std::fmt;
use std::io;

use crate::problem::Problems;
use crate::{visible, visible_lines};

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
    #[error("{count} in the way, nothing was changed:\n{list}", count = counted(.0.len(), "foreign object"), list = lines(.0))]
    Foreign(Vec<String>),

    /// Links that others use would have to be deleted and made again, and the caller has not allowed it; nothing was
    /// touched.
    #[error("{count} in use would have to be made again, nothing was changed:\n{list}", count = counted(.0.len(), "link"), list = lines(.0))]
    InUse(Vec<String>),

    /// The kernel refused a request.
    #[error("{0}")]
    Kernel(Box<KernelError>),

    /// A system call failed.
    #[error("{}: {source}", visible(what))]
    Io {
        /// What was tried, and on what.
        what: String,
        /// The system's answer.
        source: io::Error,
    },

    /// Something answered in a way that cannot be understood.
    #[error("{}: {}", visible(what), visible_lines(message))]
    Malformed {
        /// What was read.
        what: String,
        /// What was wrong with it.
        message: String,
    },

    /// Somebody else is at work on the same host, or a dump was interrupted too often. Trying again may help.
    #[error("{}", visible_lines(.0))]
    Busy(String),

    /// The kernel cannot do what the spec needs.
    #[error("{}", visible_lines(.0))]
    Unsupported(String),

    /// Others could have written what is on the disk, or could do so: a directory or a file, and what to do about it.
    #[error("{}", visible(.0))]
    Untrusted(String),
}

/// Each on a line of its own, whatever is in it.
fn lines(all: &[String]) -> String {
    all.iter().map(|line| visible(line)).collect::<Vec<_>>().join("\n")
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

    /// Whether the caller lacks a right, so that root or `CAP_NET_ADMIN` would help.
    ///
    /// A file, a namespace or a socket that may not be used is answered with `EPERM` or `EACCES`. Netlink says `EPERM`
    /// and no more to those who lack a capability (`netlink_capable`); its `EACCES`, and a refusal that the kernel explains
    /// in an extended ACK ("IPv6 is disabled on nexthop device"), is about what was asked for, whoever asks.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Kernel(refusal) => refusal.errno == libc::EPERM && refusal.words.is_none(),
            Self::Io { .. } => matches!(self.errno(), Some(libc::EPERM | libc::EACCES)),
            _ => false,
        }
    }

    /// Whether the same call may succeed later: somebody else was at work ([`Self::Busy`]), or the system asks to be asked
    /// again (`EAGAIN`, `EINTR`).
    ///
    /// `EBUSY` is not among them: in all that guestnet asks for it says that a name is taken (a tap) or a thing is still
    /// in use (a chain that others jump to), and it says so again until somebody changes that.
    pub fn can_retry(&self) -> bool {
        match self {
            Self::Busy(_) => true,
            Self::Kernel(refusal) => refusal.words.is_none() && is_passing(refusal.errno),
            Self::Io { .. } => self.errno().is_some_and(is_passing),
            _ => false,
        }
    }
}

fn is_passing(errno: i32) -> bool {
    matches!(errno, libc::EAGAIN | libc::EINTR)
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
        write!(f, "the kernel refused to {}: ", visible(&self.what))?;
        let errno = nix::errno::Errno::from_raw(self.errno);
        match &self.words {
            Some(words) => write!(f, "{} ({errno:?})", visible(words))?,
            None => write!(f, "{} ({errno:?})", errno.desc())?,
        }
        if let Some(attribute) = &self.attribute {
            write!(f, ", at attribute {attribute} of the request")?;
        }
        Ok(())
    }
}

impl std::error::Error for KernelError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(errno: i32, words: Option<&str>) -> Error {
        let words = words.map(str::to_owned);
        KernelError { what: "add route".into(), errno, words, attribute: None }.into()
    }

    fn io(errno: i32) -> Error {
        Error::io("make tap lo", io::Error::from_raw_os_error(errno))
    }

    /// What an error number means depends on who says it, about what, and whether it is explained.
    #[test]
    fn a_number_alone_is_no_class() {
        for (error, is_permission, can_retry) in [
            (kernel(libc::EPERM, None), true, false),
            (kernel(libc::EPERM, Some("the bridge is not in the right mode")), false, false),
            (kernel(libc::EACCES, Some("IPv6 is disabled on nexthop device")), false, false),
            (kernel(libc::EACCES, None), false, false),
            (kernel(libc::EBUSY, None), false, false),
            (kernel(libc::EAGAIN, None), false, true),
            (kernel(libc::EINTR, None), false, true),
            (io(libc::EPERM), true, false),
            (io(libc::EACCES), true, false),
            (io(libc::EBUSY), false, false),
            (io(libc::EAGAIN), false, true),
            (Error::Busy("another apply".into()), false, true),
            (Error::Unsupported("no".into()), false, false),
        ] {
            assert_eq!((error.is_permission(), error.can_retry()), (is_permission, can_retry), "{error}");
        }
    }

    #[test]
    fn what_others_say_stays_in_its_line() {
        let error = Error::Foreign(vec!["link a: there is link \x1b[2J\n+ host  link b".into()]);
        let said = error.to_string();
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(!said.contains('\x1b'), "{said}");
        assert!(kernel(1, Some("a\x07\nb")).to_string().contains("a\\u{7}\\nb"));
    }
}
