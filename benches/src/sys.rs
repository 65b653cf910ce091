//! The calls that only C offers. All the crate's `unsafe` is here.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;
/// `disabled` and `inherit`, the lowest bits of the flags.
const DISABLED_INHERITED: u64 = 3;
/// `PERF_EVENT_IOC_ENABLE`, `PERF_EVENT_IOC_DISABLE`.
const ENABLE: libc::Ioctl = 0x2400;
const DISABLE: libc::Ioctl = 0x2401;

/// The start of `struct perf_event_attr`, its version 0.
#[repr(C)]
struct PerfAttributes {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample: u64,
    read: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    address: u64,
}

/// Counts how often the calling thread, and what it will start, passes the tracepoint `id`.
pub fn count_tracepoint(id: u64) -> io::Result<OwnedFd> {
    let attributes = PerfAttributes {
        kind: TRACEPOINT,
        size: size_of::<PerfAttributes>() as u32,
        config: id,
        period: 0,
        sample: 0,
        read: 0,
        flags: DISABLED_INHERITED,
        wakeup: 0,
        breakpoint: 0,
        address: 0,
    };
    // SAFETY: the kernel reads as much of the attributes as their size says; they live until the call returns.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attributes, 0, -1, -1, 8 /* close on exec */)
    };
    let fd = check(c_int::try_from(fd).unwrap_or(-1))?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Starts or stops a counter and those that its children inherited.
pub fn enable_counter(counter: &OwnedFd, enable: bool) {
    // SAFETY: both requests take a plain number.
    unsafe { libc::ioctl(counter.as_raw_fd(), if enable { ENABLE } else { DISABLE }, 0) };
}

/// `TUNSETIFF` with `flags`, and `TUNSETPERSIST`: makes the tap `name` and leaves it.
pub fn make_tap(tun: &OwnedFd, name: &str, flags: c_int) -> io::Result<()> {
    // SAFETY: ifreq is plain data for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from as c_char;
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes an ifreq that lives until the call returns; TUNSETPERSIST takes a number.
    unsafe {
        check(libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request))?;
        check(libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST, 1_u64))?;
    }
    Ok(())
}

/// Gives memory that was freed back to the kernel.
pub fn give_memory_back() {
    // SAFETY: takes a plain number, and may be called at any time.
    unsafe { libc::malloc_trim(0) };
}

/// libnftables, opened when it is first needed: a machine without it can run the other benchmarks.
pub struct Libnftables {
    context: *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
    run: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
}

/// `NFT_CTX_OUTPUT_JSON`.
const OUTPUT_JSON: c_uint = 1 << 4;

impl Libnftables {
    /// Opens the library and makes a context that reads JSON. `None` when the machine does not have it.
    pub fn open() -> Option<Self> {
        // SAFETY: the names and the signatures are those of nftables/libnftables.h; the library stays loaded.
        unsafe {
            let library = libc::dlopen(c"libnftables.so.1".as_ptr(), libc::RTLD_NOW);
            if library.is_null() {
                return None;
            }
            let symbol = |name: &CStr| {
                let symbol = libc::dlsym(library, name.as_ptr());
                (!symbol.is_null()).then_some(symbol)
            };
            let new: unsafe extern "C" fn(u32) -> *mut c_void = std::mem::transmute(symbol(c"nft_ctx_new")?);
            let set: unsafe extern "C" fn(*mut c_void, c_uint) =
                std::mem::transmute(symbol(c"nft_ctx_output_set_flags")?);
            let buffer: unsafe extern "C" fn(*mut c_void) -> c_int =
                std::mem::transmute(symbol(c"nft_ctx_buffer_output")?);
            let errors: unsafe extern "C" fn(*mut c_void) -> c_int =
                std::mem::transmute(symbol(c"nft_ctx_buffer_error")?);
            let free: unsafe extern "C" fn(*mut c_void) = std::mem::transmute(symbol(c"nft_ctx_free")?);
            let run = std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
            >(symbol(c"nft_run_cmd_from_buffer")?);
            let context = new(0);
            if context.is_null() {
                return None;
            }
            set(context, OUTPUT_JSON);
            buffer(context);
            errors(context);
            Some(Self { context, free, run })
        }
    }

    /// Runs `commands`, and says whether they were accepted.
    pub fn run(&self, commands: &CStr) -> bool {
        // SAFETY: the context is the library's own, the commands are a C string that lives until the call returns.
        unsafe { (self.run)(self.context, commands.as_ptr()) == 0 }
    }
}

impl Drop for Libnftables {
    fn drop(&mut self) {
        // SAFETY: the context is the library's own, and nobody uses it any more.
        unsafe { (self.free)(self.context) };
    }
}

/// Frames that are sent again and again, as fast as one processor can, past the queues of the interface.
pub struct Flood {
    socket: OwnedFd,
    /// The interfaces.
    places: Vec<libc::sockaddr_ll>,
    frames: Vec<u8>,
    length: usize,
    /// The next to be sent.
    next: usize,
}

/// `PACKET_QDISC_BYPASS`.
const QDISC_BYPASS: c_int = 20;
/// How many frames are given to the kernel at once.
const BURST: usize = 64;

impl Flood {
    /// Frames of equal `length`, one after another in `frames`, to be sent from the interfaces `links` of the calling
    /// thread's namespace, by turns.
    pub fn new<S: AsRef<str>>(links: &[S], frames: Vec<u8>, length: usize) -> io::Result<Self> {
        // SAFETY: plain system calls; the descriptor that comes back is ours alone.
        let socket = unsafe {
            OwnedFd::from_raw_fd(check(libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                0,
            ))?)
        };
        let mut places = Vec::with_capacity(links.len());
        for link in links {
            // SAFETY: sockaddr_ll is plain data for which all zeroes are valid.
            let mut place: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            place.sll_family = libc::AF_PACKET as libc::c_ushort;
            place.sll_ifindex = nix::net::if_::if_nametoindex(link.as_ref())? as c_int;
            places.push(place);
        }
        if places.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a flood goes out through a link at least",
            ));
        }
        let one: c_int = 1;
        // SAFETY: the number lives until the call returns, and its length is right.
        unsafe {
            let (value, length) = ((&raw const one).cast(), size_of_val(&one) as libc::socklen_t);
            check(libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, QDISC_BYPASS, value, length))?;
        }
        Ok(Self { socket, places, frames, length, next: 0 })
    }

    /// Sends the next few; how many that were.
    pub fn burst(&mut self) -> io::Result<usize> {
        let count = self.frames.len() / self.length;
        // SAFETY: iovec and mmsghdr are plain data for which all zeroes are valid.
        let (mut parts, mut headers): ([libc::iovec; BURST], [libc::mmsghdr; BURST]) =
            unsafe { std::mem::zeroed() };
        let frames = self.frames[self.next * self.length..].chunks_exact(self.length);
        let burst = BURST.min(count - self.next);
        let places = self.places.iter().cycle().skip(self.next % self.places.len());
        for (((part, header), frame), place) in parts.iter_mut().zip(&mut headers).zip(frames).zip(places) {
            header.msg_hdr.msg_name = std::ptr::from_ref(place).cast_mut().cast();
            header.msg_hdr.msg_namelen = size_of_val(place) as libc::socklen_t;
            *part = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: self.length };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: there are at least `burst` headers; they point to places and to parts, and those into frames, that outlive the call.
        let sent =
            unsafe { libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), burst as c_uint, 0) };
        let sent = check(sent)? as usize;
        self.next = (self.next + sent) % count;
        Ok(sent)
    }
}
