//! The other side of a tap, as a virtual machine monitor has it: what is written is what the guest sends.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::unistd::{read, write};

use crate::{Netns, sys};

/// An opened tap. A frame that was sent has been through the host when the call returns, or waits for nothing but the
/// host's own timers.
pub struct Tap(OwnedFd);

impl Tap {
    /// Opens the existing tap `name`, which has neither several queues nor a virtio header.
    ///
    /// # Errors
    /// When it is not there or in use.
    pub fn open(netns: &Netns, name: &str) -> Result<Self> {
        let opened = netns.run(|| {
            // An opener of a name that is not there would make the tap.
            nix::net::if_::if_nametoindex(name)?;
            sys::open_tap(name, 0)
        });
        Ok(Self(opened.with_context(|| format!("open the tap {name} in the namespace {}", netns.name()))?))
    }

    /// The guest sends `frame`, just as it is.
    ///
    /// # Errors
    /// When the tap is down or takes no such frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        write(&self.0, frame).map(drop).context("send a frame into a tap")
    }

    /// A frame that the guest is given.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536 + 64];
        let length = read(&self.0, &mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }
}
