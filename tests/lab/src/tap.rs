//! The other side of a tap, as a virtual machine monitor has it: what is written is what the guest sends.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::unistd::{read, write};

use crate::{Netns, sys};

/// An opened tap. A frame that was sent has been through the host when the call returns, or waits for nothing but the
/// host's own timers.
pub struct Tap {
    file: OwnedFd,
    /// How many bytes stand before each frame.
    header: usize,
}

/// `sizeof(struct virtio_net_hdr)`.
const VNET_HDR: usize = 10;

impl Tap {
    /// Opens the existing tap `name`, which has neither several queues nor a virtio header.
    ///
    /// # Errors
    /// When it is not there or in use.
    pub fn open(netns: &Netns, name: &str) -> Result<Self> {
        Ok(Self { file: attach(netns, name, 0)?, header: 0 })
    }

    /// Opens the existing tap `name` as QEMU, Cloud Hypervisor and Firecracker do, with a virtio header (`IFF_VNET_HDR`),
    /// whatever it was made with; one of its queues, if it has several.
    ///
    /// # Errors
    /// As [`Self::open`], and when it has several queues and `multi_queue` says otherwise.
    pub fn open_as_monitor(netns: &Netns, name: &str, multi_queue: bool) -> Result<Self> {
        let queues = if multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
        Ok(Self { file: attach(netns, name, libc::IFF_VNET_HDR | queues)?, header: VNET_HDR })
    }

    /// The guest sends `frame`, just as it is.
    ///
    /// # Errors
    /// When the tap is down or takes no such frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let framed = [&[0; VNET_HDR][..self.header], frame].concat();
        write(&self.file, &framed).map(drop).context("send a frame into a tap")
    }

    /// A frame that the guest is given.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536 + 64];
        let length = read(&self.file, &mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer.split_off(self.header.min(length)))
    }
}

fn attach(netns: &Netns, name: &str, flags: libc::c_int) -> Result<OwnedFd> {
    let opened = netns.run(|| {
        // An opener of a name that is not there would make the tap.
        nix::net::if_::if_nametoindex(name)?;
        sys::open_tap(name, flags)
    });
    opened.with_context(|| format!("open the tap {name} in the namespace {}", netns.name()))
}
