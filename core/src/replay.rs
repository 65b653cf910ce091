//! What the kernel answers, recorded and played: a plan for a host is made again where the host is not.
//!
//! A [`Recorder`] is told all that a host asks of its kernel, and makes a [`Recording`] of it, which can be kept and sent to
//! somebody else: the keys of IPsec states are blanked before they are put into it. A [`Machine`] answers instead of a kernel; a
//! recording is one.
//!
//! Not recorded is what is on the disk: files for daemons, what sysctls were before. A played host has none of it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::act::Heard;
use crate::error::{Error, Result};
use crate::kind::Protocol;
use crate::name::{Netns, NetnsName};

mod blank;
mod recording;

pub use recording::Recording;

/// What answers instead of a kernel.
pub trait Machine: Send + Sync {
    /// The datagrams that answer `question`, one or several netlink messages with the numbers that they carry. `None`: the
    /// machine does not know.
    fn answer(&self, netns: &Netns, protocol: Protocol, question: &[u8]) -> Option<Vec<Vec<u8>>>;

    /// Whether the kernel has the netlink family.
    fn speaks(&self, protocol: Protocol) -> bool;

    /// What a file below `/proc` says inside of `netns`.
    fn file(&self, netns: &Netns, path: &str) -> Option<String>;

    /// The kernel's number of `netns`; `None` where there is no such namespace.
    fn cookie(&self, netns: &Netns) -> Option<u64>;

    /// The namespaces that have names.
    fn names(&self) -> Vec<NetnsName>;
}

/// Makes a recording of what it is told. A copy adds to the same.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Recording>>);

impl Recorder {
    /// One that was told nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was recorded up to now.
    pub fn recording(&self) -> Recording {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note(&self, netns: &Netns, heard: Heard<'_>) {
        let mut recording = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Heard::Namespace(cookie) => recording.enter(netns, cookie),
            Heard::Question(protocol, bytes) => recording.asked(netns, protocol, bytes),
            Heard::Answer(protocol, bytes) => recording.answered(netns, protocol, bytes),
            Heard::File(path, text) => recording.was_read(netns, path, text),
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

/// The socket of a session with a machine.
pub(crate) struct Wire {
    machine: Arc<dyn Machine>,
    netns: Netns,
    protocol: Protocol,
    answers: VecDeque<Vec<u8>>,
}

impl Wire {
    pub(crate) fn new(machine: Arc<dyn Machine>, netns: Netns, protocol: Protocol) -> Self {
        Self { machine, netns, protocol, answers: VecDeque::new() }
    }

    /// Takes a datagram. What was not read of answers to the last one is gone.
    pub(crate) fn ask(&mut self, question: &[u8]) -> Result<()> {
        let answers = self.machine.answer(&self.netns, self.protocol, question);
        self.answers = answers.ok_or_else(|| self.fault("has no answer to the question"))?.into();
        Ok(())
    }

    /// Puts the next datagram of the answer into `buffer`.
    pub(crate) fn answer(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        *buffer = self.answers.pop_front().ok_or_else(|| self.fault("ends within an answer"))?;
        Ok(())
    }

    fn fault(&self, what: &str) -> Error {
        let kind = io::ErrorKind::UnexpectedEof;
        Error::io(
            format!("play what was recorded of {}", self.netns),
            io::Error::new(kind, format!("the recording {what}")),
        )
    }
}
