//! Seeing and sending frames on an interface.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};
use nix::unistd::{read, write};

use crate::{Frame, Netns, sys, wait_until};

/// What an interface's capture may hold before the kernel drops frames.
const BUFFER: usize = 16 << 20;

/// Collects the frames that pass an interface, in both directions, until it is dropped.
pub struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Begins; every frame after this is seen.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn start(netns: &Netns, link: &str) -> Result<Self> {
        let socket = open(netns, link)?;
        // More than the system's limit needs a privilege that a user's namespace does not give.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
        let frames = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        let (collected, stopped) = (Arc::clone(&frames), Arc::clone(&stop));
        let thread = std::thread::Builder::new().spawn(move || collect(&socket, &collected, &stopped))?;
        Ok(Self { frames, stop, thread: Some(thread) })
    }

    /// Ends; all that was seen, in order.
    pub fn stop(mut self) -> Vec<Frame> {
        self.end();
        std::mem::take(&mut *self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a frame of which `wanted` makes something.
    ///
    /// # Errors
    /// `what` has not been seen in time.
    pub fn wait_for<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut wanted: impl FnMut(&Frame) -> Option<T>,
    ) -> Result<T> {
        let mut found = None;
        let mut look =
            || self.frames.lock().unwrap_or_else(PoisonError::into_inner).iter().find_map(&mut wanted);
        wait_until(what, deadline, || {
            found = look();
            found.is_some()
        })?;
        found.context("a frame was found and lost")
    }

    fn end(&mut self) {
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends `frame` out of the interface, just as it is.
///
/// # Errors
/// When there is no such interface, or it is down.
pub fn send_frame(netns: &Netns, link: &str, frame: &Frame) -> Result<()> {
    let socket = open(netns, link)?;
    write(&socket, &frame.0).with_context(|| format!("send {frame} out of {link}"))?;
    Ok(())
}

/// An interface's packet socket, to send frames and to look what has passed since, without a thread.
pub struct Port(OwnedFd);

impl Port {
    /// Opens it; every frame after this is seen.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn open(netns: &Netns, link: &str) -> Result<Self> {
        let socket = open(netns, link)?;
        let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
        Ok(Self(socket))
    }

    /// Sends `frame`, just as it is.
    ///
    /// # Errors
    /// When the interface is down.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        write(&self.0, frame).map(drop).context("send a frame")
    }

    /// A frame that has passed, in either direction.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536 + 64];
        let length = read(&self.0, &mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }
}

fn open(netns: &Netns, link: &str) -> Result<OwnedFd> {
    let make = || -> std::io::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Without a protocol it sees nothing until it is bound to the interface.
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        sys::bind_to_link(&socket, link)?;
        Ok(socket)
    };
    netns.run(make).with_context(|| format!("open {link} in the namespace {} for frames", netns.name()))
}

fn collect(socket: &OwnedFd, frames: &Mutex<Vec<Frame>>, stop: &EventFd) {
    let mut buffer = vec![0; 65_536 + 64];
    loop {
        let wanted = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut either = [wanted(socket.as_fd()), wanted(stop.as_fd())];
        let _ = poll(&mut either, PollTimeout::NONE);
        let is_last = either[1].any().unwrap_or(false);
        // What came before the end was asked for is still seen.
        while let Ok(length) = read(socket, &mut buffer) {
            let frame = Frame(buffer[..length].to_vec());
            frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
        }
        if is_last {
            return;
        }
    }
}
