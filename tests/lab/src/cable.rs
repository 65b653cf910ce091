//! A cable between a host's tap and a guest: what a virtual machine monitor is to the network.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{read, write};

use crate::{Mac, Netns, sys};

/// Room for a frame with its virtio header.
const FRAME: usize = 65_536 + 64;

/// Carries frames between two taps until it is dropped.
struct Cable {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    /// Opens the existing tap `tap` in `host` and a new one `end` in `guest`.
    fn plug(host: &Netns, tap: &str, guest: &Netns, end: &str) -> Result<Self> {
        let flags = flags_of(host, tap)?;
        let open = |netns: &Netns, name: &str| {
            let file = netns.run(|| sys::open_tap(name, flags));
            file.with_context(|| format!("open the tap {name} in the namespace {}", netns.name()))
        };
        let near = open(host, tap)?;
        // With the same flags, so that a virtio header passes through as it is. No offload is asked for, so the
        // kernel gives whole frames with their checksums.
        let far = open(guest, end)?;
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().spawn(move || carry(&near, &far, &stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The flags that an opener must give again, lest the kernel refuse it or change the tap.
fn flags_of(netns: &Netns, tap: &str) -> Result<libc::c_int> {
    let said = netns.ip(&format!("-d link show dev {tap}"))?;
    let mut flags = 0;
    if said.contains(" vnet_hdr on") {
        flags |= libc::IFF_VNET_HDR;
    }
    if said.contains(" multi_queue") {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    Ok(flags)
}

fn carry(near: &OwnedFd, far: &OwnedFd, stop: &EventFd) {
    let mut frame = vec![0; FRAME];
    loop {
        let wanted = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut ends = [wanted(near.as_fd()), wanted(far.as_fd()), wanted(stop.as_fd())];
        if poll(&mut ends, PollTimeout::NONE).is_err() {
            continue;
        }
        let is_ready = |n: usize| ends[n].any().unwrap_or(false);
        if is_ready(2) {
            return;
        }
        for (n, from, to) in [(0, near, far), (1, far, near)] {
            // The end of a tap is reported when the interface was deleted.
            if is_ready(n) && !pass(from, to, &mut frame) {
                return;
            }
        }
    }
}

/// Passes on one frame; `false` when the tap is no more. A frame that the other side does not take is lost, as on a
/// real cable.
fn pass(from: &OwnedFd, to: &OwnedFd, frame: &mut [u8]) -> bool {
    match read(from, frame) {
        Ok(length) => {
            let _ = write(to, &frame[..length]);
            true
        }
        Err(e) => matches!(e, nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR),
    }
}

/// A guest: a namespace of its own whose `eth0` is cabled to a tap, as a virtual machine's is.
pub struct Guest {
    netns: Netns,
    _cable: Cable,
}

impl Guest {
    /// Makes the guest `name` and plugs it into the existing tap `tap` in the namespace `host`.
    ///
    /// # Errors
    /// When the tap is not there or in use, or taps are not allowed.
    pub fn plug(name: &str, host: &Netns, tap: &str, mac: Option<Mac>) -> Result<Self> {
        let netns = Netns::make(name)?;
        let cable = Cable::plug(host, tap, &netns, "eth0")?;
        if let Some(mac) = mac {
            netns.ip(&format!("link set eth0 address {mac}"))?;
        }
        netns.ip("link set eth0 up")?;
        Ok(Self { netns, _cable: cable })
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }
}
