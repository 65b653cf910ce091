//! libnftnl, as far as the safe `nftnl` crate does not go: any expression, chains with several devices, sets and maps
//! with data. All the `unsafe` of this crate is here.
//!
//! Everything is set by attribute number, so that an expression's own file says in safe code what it is in netlink.
//!
//! Reading back is done without libnftnl (`read.rs`): on an answer that it does not expect it ends the process
//! ("nf_tables kernel ABI is broken"), or reads through NULL where an expression has no name.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;

use nftnl::nftnl_sys as c;
use nftnl::{MsgType, NlMsg};

use crate::Expr;

#[cfg(test)]
pub mod peer;

/// The most bytes that a register, a key or a datum has (`NFT_DATA_VALUE_MAXLEN`). Older versions of libnftnl copy
/// without checking, so it is checked here.
const LONGEST_VALUE: usize = 64;

/// The most bytes of the name of an expression (`NFT_MODULE_AUTOLOAD_LIMIT`, which is longer than any).
const LONGEST_NAME: usize = 31;

/// The most bytes of user data (`NFT_USERDATA_MAXLEN`).
const LONGEST_USERDATA: usize = 256;

/// What libnftnl gave out, or the end: it gives nothing only when memory is used up.
fn allocated<T>(pointer: *mut T) -> NonNull<T> {
    NonNull::new(pointer).unwrap_or_else(|| std::alloc::handle_alloc_error(std::alloc::Layout::new::<u64>()))
}

/// As a C string, up to the first NUL.
pub fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|e| {
        let end = e.nul_position();
        CString::new(&e.into_vec()[..end]).unwrap_or_default()
    })
}

thread_local! {
    /// Zeros, as many bytes as libnftnl may need for a message. To make them anew for each takes longer than the message.
    static ZEROS: RefCell<Vec<u64>> =
        RefCell::new(vec![0; (nftnl::nft_nlmsg_maxsize() as usize).div_ceil(8)]);
}

/// The message that `write` puts at the start of a buffer.
fn message(write: impl FnOnce(*mut c_char)) -> Vec<u8> {
    ZEROS.with_borrow_mut(|buffer| {
        write(buffer.as_mut_ptr().cast());
        let [a, b, c, d, ..] = buffer.first().copied().unwrap_or_default().to_ne_bytes();
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let words = length.div_ceil(8).min(buffer.len());
        let mut bytes = Vec::with_capacity(words * 8);
        for word in buffer.iter_mut().take(words) {
            bytes.extend_from_slice(&std::mem::take(word).to_ne_bytes());
        }
        bytes.truncate(length);
        bytes
    })
}

/// What a thing of the safe crate says when it is added or deleted.
pub fn write(object: &impl NlMsg, what: MsgType) -> Vec<u8> {
    // SAFETY: the buffer has the size that `NlMsg::write` asks for.
    message(|buffer| unsafe { object.write(buffer.cast(), 0, what) })
}

/// Lays a message out: its header, then what `payload` puts behind it.
fn build(kind: u16, family: u8, flags: u16, payload: impl FnOnce(*mut c::libc::nlmsghdr)) -> Vec<u8> {
    message(|buffer| {
        // SAFETY: the header has 20 bytes, the buffer more.
        payload(unsafe { c::nftnl_nlmsg_build_hdr(buffer, kind, u16::from(family), flags, 0) });
    })
}

/// A libnftnl object with attributes: declares the type, how it is made and freed, and its attributes set.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $alloc:ident, $free:ident, $set_u32:ident, $set_str:ident) => {
        $(#[$doc])*
        pub struct $name(NonNull<c::$raw>);

        impl $name {
            /// One without attributes.
            pub fn new() -> Self {
                // SAFETY: it only allocates.
                Self(allocated(unsafe { c::$alloc() }))
            }

            /// Sets an attribute that is a number.
            pub fn set_u32(&mut self, attribute: u32, value: u32) {
                // SAFETY: the object is ours, and the value is copied.
                unsafe { c::$set_u32(self.0.as_ptr(), attribute as u16, value) };
            }

            /// Sets an attribute that is a text.
            pub fn set_str(&mut self, attribute: u32, text: &str) {
                let text = c_string(text);
                // SAFETY: the object is ours, and the text is copied.
                unsafe { c::$set_str(self.0.as_ptr(), attribute as u16, text.as_ptr()) };
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the object is ours and not used again.
                unsafe { c::$free(self.0.as_ptr()) };
            }
        }
    };
}

object!(
    /// A chain.
    RawChain, nftnl_chain, nftnl_chain_alloc, nftnl_chain_free, nftnl_chain_set_u32, nftnl_chain_set_str
);

object!(
    /// A set or a map, without elements.
    RawSet, nftnl_set, nftnl_set_alloc, nftnl_set_free, nftnl_set_set_u32, nftnl_set_set_str
);

impl RawChain {
    /// Sets the devices of an ingress or egress hook.
    pub fn set_devices<'a>(&mut self, devices: impl Iterator<Item = &'a str>) {
        let names: Vec<CString> = devices.map(c_string).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        pointers.push(std::ptr::null());
        // SAFETY: the array ends with NULL, as libnftnl expects, and it copies the names.
        unsafe {
            c::nftnl_chain_set_array(self.0.as_ptr(), c::NFTNL_CHAIN_DEVICES as u16, pointers.as_mut_ptr());
        }
    }

    /// The message that says it.
    pub fn message(&self, kind: u16, family: u8, flags: u16) -> Vec<u8> {
        build(kind, family, flags, |header| {
            // SAFETY: the buffer behind the header has room for the largest message.
            unsafe { c::nftnl_chain_nlmsg_build_payload(header, self.0.as_ptr()) };
        })
    }
}

impl RawSet {
    /// Sets an attribute that is some bytes, 256 at most.
    pub fn set_data(&mut self, attribute: u32, data: &[u8]) {
        let data = data.get(..LONGEST_USERDATA).unwrap_or(data);
        let length = data.len() as u32;
        // SAFETY: the set is ours, and `length` bytes are copied, which `data` has.
        unsafe { c::nftnl_set_set_data(self.0.as_ptr(), attribute as u16, data.as_ptr().cast(), length) };
    }

    /// Adds an expression that each element has.
    pub fn add_expression(&mut self, expression: RawExpr) {
        // SAFETY: both are ours, and the set takes the expression over.
        unsafe { c::nftnl_set_add_expr(self.0.as_ptr(), expression.into_pointer().as_ptr()) };
    }

    /// The message that says it, without elements.
    pub fn message(&self, kind: u16, family: u8, flags: u16) -> Vec<u8> {
        build(kind, family, flags, |header| {
            // SAFETY: the buffer behind the header has room for the largest message.
            unsafe { c::nftnl_set_nlmsg_build_payload(header, self.0.as_ptr()) };
        })
    }
}

impl nftnl::expr::Expression for Expr {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<c::nftnl_expr> {
        self.write().into_pointer()
    }
}

/// An expression that is going to be added to a rule or a set, which takes it over.
pub struct RawExpr(NonNull<c::nftnl_expr>);

impl RawExpr {
    /// One without attributes. `name` is the kernel's; all that this crate uses are known to libnftnl 1.2.0.
    pub fn new(name: &str) -> Self {
        let mut text = [0; LONGEST_NAME + 1];
        text.iter_mut().zip(name.bytes().take(LONGEST_NAME)).for_each(|(to, byte)| *to = byte);
        let name = CStr::from_bytes_until_nul(&text).unwrap_or_default();
        // SAFETY: the name is a C string and is only read.
        Self(allocated(unsafe { c::nftnl_expr_alloc(name.as_ptr()) }))
    }

    /// Sets an attribute that is a byte.
    #[must_use]
    pub fn u8(self, attribute: u32, value: u8) -> Self {
        // SAFETY: the expression is ours, and the value is copied.
        unsafe { c::nftnl_expr_set_u8(self.0.as_ptr(), attribute as u16, value) };
        self
    }

    /// Sets an attribute of two bytes.
    #[must_use]
    pub fn u16(self, attribute: u32, value: u16) -> Self {
        // SAFETY: the expression is ours, and the value is copied.
        unsafe { c::nftnl_expr_set_u16(self.0.as_ptr(), attribute as u16, value) };
        self
    }

    /// Sets an attribute of four bytes.
    #[must_use]
    pub fn u32(self, attribute: u32, value: u32) -> Self {
        // SAFETY: the expression is ours, and the value is copied.
        unsafe { c::nftnl_expr_set_u32(self.0.as_ptr(), attribute as u16, value) };
        self
    }

    /// Sets an attribute of eight bytes.
    #[must_use]
    pub fn u64(self, attribute: u32, value: u64) -> Self {
        // SAFETY: the expression is ours, and the value is copied.
        unsafe { c::nftnl_expr_set_u64(self.0.as_ptr(), attribute as u16, value) };
        self
    }

    /// Sets an attribute that is a text.
    #[must_use]
    pub fn text(self, attribute: u32, text: &str) -> Self {
        let text = c_string(text);
        // SAFETY: the expression is ours, and the text is copied.
        unsafe { c::nftnl_expr_set_str(self.0.as_ptr(), attribute as u16, text.as_ptr()) };
        self
    }

    /// Sets an attribute that is the value of a register: 64 bytes at most.
    #[must_use]
    pub fn value(self, attribute: u32, value: &[u8]) -> Self {
        let value = value.get(..LONGEST_VALUE).unwrap_or(value);
        let length = value.len() as u32;
        // SAFETY: the expression is ours, and `length` bytes are copied, which `value` has and the expression takes.
        unsafe {
            c::nftnl_expr_set(self.0.as_ptr(), attribute as u16, value.as_ptr().cast::<c_void>(), length)
        };
        self
    }

    fn into_pointer(self) -> NonNull<c::nftnl_expr> {
        std::mem::ManuallyDrop::new(self).0
    }
}

impl Drop for RawExpr {
    fn drop(&mut self) {
        // SAFETY: the expression is ours and not used again.
        unsafe { c::nftnl_expr_free(self.0.as_ptr()) };
    }
}
