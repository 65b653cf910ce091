//! Elements as libnftnl lays them out, to compare with.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::NonNull;

use nftnl::nftnl_sys as c;

use super::{RawSet, allocated, build, c_string};

/// An element that is going to be added to a set.
pub struct RawElement(NonNull<c::nftnl_set_elem>);

impl RawElement {
    /// One without attributes.
    pub fn new() -> Self {
        // SAFETY: what it gives out is ours.
        Self(allocated(unsafe { c::nftnl_set_elem_alloc() }))
    }

    /// Sets an attribute that is some bytes.
    pub fn set(&mut self, attribute: u32, bytes: &[u8]) {
        let length = bytes.len() as u32;
        // SAFETY: the element is ours, and `length` bytes are copied, which `bytes` has.
        unsafe { c::nftnl_set_elem_set(self.0.as_ptr(), attribute as u16, bytes.as_ptr().cast(), length) };
    }

    /// Sets an attribute that is a number.
    pub fn set_u32(&mut self, attribute: u32, value: u32) {
        // SAFETY: the element is ours, and the value is copied.
        unsafe { c::nftnl_set_elem_set_u32(self.0.as_ptr(), attribute as u16, value) };
    }

    /// Sets an attribute that is a text.
    pub fn set_str(&mut self, attribute: u32, text: &str) {
        let text = c_string(text);
        // SAFETY: the element is ours, and the text, which ends with a NUL, is copied.
        unsafe { c::nftnl_set_elem_set_str(self.0.as_ptr(), attribute as u16, text.as_ptr()) };
    }
}

impl RawSet {
    /// Adds an element.
    pub fn push(&mut self, element: RawElement) {
        // SAFETY: the set takes the element over, and frees it when it is freed.
        unsafe { c::nftnl_set_elem_add(self.0.as_ptr(), element.0.as_ptr()) };
    }

    /// The messages that say its elements.
    pub fn element_messages(&self, kind: u16, family: u8, flags: u16) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        // SAFETY: the iterator lives as long as the set, which is borrowed.
        let iterator = allocated(unsafe { c::nftnl_set_elems_iter_create(self.0.as_ptr()) });
        let mut more = true;
        while more {
            let mut answer: c_int = 0;
            messages.push(build(kind, family, flags, |header| {
                // SAFETY: libnftnl stops before the 64 KiB of an attribute are full; the buffer has a page more.
                answer = unsafe { c::nftnl_set_elems_nlmsg_build_payload_iter(header, iterator.as_ptr()) };
            }));
            more = answer > 0;
        }
        // SAFETY: the iterator is ours and not used again.
        unsafe { c::nftnl_set_elems_iter_destroy(iterator.as_ptr()) };
        messages
    }
}
