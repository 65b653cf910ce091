//! A server that tells its clients how it sees them and sends back what they send, over UDP and TCP.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::{Netns, ping};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the servers look whether they should end.
const TICK: Duration = Duration::from_millis(20);

/// The server. It ends when dropped.
pub struct Echo {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    /// Serves UDP and TCP at `address`.
    ///
    /// # Errors
    /// When the address is not there or in use.
    pub fn start(netns: &Netns, address: SocketAddr) -> Result<Self> {
        let sockets = netns.run(|| io::Result::Ok((UdpSocket::bind(address)?, TcpListener::bind(address)?)));
        let what = || format!("serve {address} in the namespace {}", netns.name());
        let (udp, tcp) = sockets.with_context(what)?;
        udp.set_read_timeout(Some(TICK))?;
        tcp.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (for_udp, for_tcp) = (Arc::clone(&stop), Arc::clone(&stop));
        let threads = vec![
            std::thread::spawn(move || serve_udp(&udp, &for_udp)),
            std::thread::spawn(move || serve_tcp(&tcp, &for_tcp)),
        ];
        Ok(Self { stop, threads })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let mut answer = format!("{peer}\n").into_bytes();
            answer.extend(&buffer[..length]);
            let _ = socket.send_to(&answer, peer);
        }
    }
}

fn serve_tcp(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            // Ends with its client.
            Ok((stream, peer)) => drop(std::thread::spawn(move || answer(stream, peer))),
            Err(_) => std::thread::sleep(TICK),
        }
    }
}

fn answer(mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.write_all(format!("{peer}\n").as_bytes())?;
    let mut reader = stream.try_clone()?;
    io::copy(&mut reader, &mut stream).map(drop)
}

/// Sends `payload` over UDP and waits for it to come back; how the server saw the client.
///
/// # Errors
/// When no answer comes, or another than was sent.
pub fn udp(netns: &Netns, from: Option<IpAddr>, to: SocketAddr, payload: &[u8]) -> Result<SocketAddr> {
    let what = || format!("talk UDP with {to} from the namespace {}", netns.name());
    let exchange = || -> io::Result<Vec<u8>> {
        let socket = UdpSocket::bind((from.unwrap_or(ping::unspecified(to.ip())), 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(to)?;
        socket.send(payload)?;
        let mut buffer = vec![0; 65_536];
        let length = socket.recv(&mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    };
    let answer = netns.run(exchange).with_context(what)?;
    let (seen, echo) = split(&answer).with_context(what)?;
    ensure!(echo == payload, "{}: {} bytes came back changed", what(), payload.len());
    Ok(seen)
}

/// Sends `count` bytes over TCP and waits for them to come back; how the server saw the client.
///
/// # Errors
/// When there is no connection, or it stalls, or other bytes come back than were sent.
pub fn tcp(netns: &Netns, from: Option<IpAddr>, to: SocketAddr, count: usize) -> Result<SocketAddr> {
    let what = || format!("talk TCP with {to} from the namespace {}", netns.name());
    let stream = netns.run(|| open_tcp(from, to)).with_context(what)?;
    let payload: Vec<u8> = (0..count).map(|n| n as u8).collect();
    let mut answer = Vec::new();
    std::thread::scope(|scope| -> io::Result<()> {
        let sender = scope.spawn(|| {
            (&stream).write_all(&payload)?;
            stream.shutdown(std::net::Shutdown::Write)
        });
        (&stream).read_to_end(&mut answer)?;
        sender.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })
    .with_context(what)?;
    let (seen, echo) = split(&answer).with_context(what)?;
    ensure!(echo == payload, "{}: of {count} bytes {} came back", what(), echo.len());
    Ok(seen)
}

fn open_tcp(from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let patience = TimeVal::new(PATIENCE.as_secs() as _, 0);
    // This is also how long the connecting may take: socket(7).
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
    if let Some(from) = from {
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    }
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(TcpStream::from(socket))
}

/// The address before the first line break, and what comes after it.
fn split(answer: &[u8]) -> Result<(SocketAddr, &[u8])> {
    let end =
        answer.iter().position(|byte| *byte == b'\n').context("the server did not say how it sees us")?;
    let seen = std::str::from_utf8(&answer[..end])?;
    Ok((seen.parse().with_context(|| format!("{seen:?} is no address"))?, &answer[end + 1..]))
}
