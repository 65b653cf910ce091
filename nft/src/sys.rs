//! libnftnl, as far as the safe `nftnl` crate does not go: any expression, chains with several devices, sets and maps
//! with data, and reading back. All the `unsafe` of this crate is here.
//!
//! Everything is written and read through getters and setters by attribute number, so that an expression's own file
//! says in safe code what it is in netlink.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use nftnl::nftnl_sys as c;
use nftnl::{MsgType, NlMsg};

use crate::Expr;

/// The most bytes that a register, a key or a datum has (`NFT_DATA_VALUE_MAXLEN`). Older versions of libnftnl copy
/// without checking, so it is checked here.
const LONGEST_VALUE: usize = 64;

/// The most bytes of user data (`NFT_USERDATA_MAXLEN`).
const LONGEST_USERDATA: usize = 256;

/// What libnftnl gave out, or the end: it gives nothing only when memory is used up.
fn allocated<T>(pointer: *mut T) -> NonNull<T> {
    NonNull::new(pointer).unwrap_or_else(|| std::alloc::handle_alloc_error(std::alloc::Layout::new::<u64>()))
}

/// As a C string, up to the first NUL.
pub fn c_string(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().take_while(|b| *b != 0).collect();
    CString::new(bytes).unwrap_or_default()
}

/// A message buffer of the size that libnftnl may need.
fn buffer() -> Vec<u64> {
    vec![0; (nftnl::nft_nlmsg_maxsize() as usize).div_ceil(8)]
}

/// The message at the start of `buffer`.
fn message(buffer: &[u64]) -> Vec<u8> {
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).take(4).collect();
    let length = bytes.try_into().map_or(0, u32::from_ne_bytes) as usize;
    let words = buffer.get(..length.div_ceil(8)).unwrap_or(buffer);
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// What a thing of the safe crate says when it is added or deleted.
pub fn write(object: &impl NlMsg, what: MsgType) -> Vec<u8> {
    let mut buffer = buffer();
    // SAFETY: the buffer has the size that `NlMsg::write` asks for.
    unsafe { object.write(buffer.as_mut_ptr().cast(), 0, what) };
    message(&buffer)
}

/// Lays a message out: its header, then what `payload` puts behind it.
fn build(kind: u16, family: u8, flags: u16, payload: impl FnOnce(*mut c::libc::nlmsghdr)) -> Vec<u8> {
    let mut buffer = buffer();
    // SAFETY: the header has 20 bytes, the buffer more.
    let header = unsafe {
        c::nftnl_nlmsg_build_hdr(buffer.as_mut_ptr().cast::<c_char>(), kind, u16::from(family), flags, 0)
    };
    payload(header);
    message(&buffer)
}

/// A message as libnftnl reads it: aligned, and with zeros behind its end, so that a text without its NUL ends there.
struct Received(Vec<u64>);

impl Received {
    fn new(bytes: &[u8]) -> Option<Self> {
        let said = bytes.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes)? as usize;
        if said != bytes.len() || said < size_of::<c::libc::nlmsghdr>() + 4 {
            return None;
        }
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            u64::from_ne_bytes(word)
        });
        Some(Self(words.chain([0; 2]).collect()))
    }

    fn header(&self) -> *const c::libc::nlmsghdr {
        self.0.as_ptr().cast()
    }
}

/// A libnftnl object with attributes: declares the type, how it is made, freed, and its attributes reached.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $alloc:ident, $free:ident, $parse:ident,
     $is_set:ident, $get_data:ident, $get_str:ident) => {
        $(#[$doc])*
        pub struct $name(NonNull<c::$raw>);

        #[allow(dead_code, reason = "not every object needs every getter")]
        impl $name {
            /// One without attributes.
            pub fn new() -> Self {
                // SAFETY: it only allocates.
                Self(allocated(unsafe { c::$alloc() }))
            }

            /// The one that a message holds, header included. `None` when it cannot be understood.
            pub fn read(bytes: &[u8]) -> Option<Self> {
                let received = Received::new(bytes)?;
                let object = Self::new();
                // SAFETY: the message is as long as its header says, and both live until the call returns.
                let answer = unsafe { c::$parse(received.header(), object.0.as_ptr()) };
                (answer >= 0).then_some(object)
            }

            /// An attribute as it stands there.
            pub fn get(&self, attribute: u32) -> Option<&[u8]> {
                let attribute = attribute as u16;
                let mut length = 0_u32;
                // SAFETY: libnftnl answers with a pointer to `length` bytes inside the object, which outlive the
                // borrow of it, or with NULL.
                unsafe {
                    if !c::$is_set(self.0.as_ptr(), attribute) {
                        return None;
                    }
                    let data = c::$get_data(self.0.as_ptr(), attribute, &raw mut length).cast::<u8>();
                    (!data.is_null()).then(|| std::slice::from_raw_parts(data, length as usize))
                }
            }

            /// An attribute that is a number.
            pub fn get_u32(&self, attribute: u32) -> Option<u32> {
                self.get(attribute)?.try_into().ok().map(u32::from_ne_bytes)
            }

            /// An attribute that is a text.
            pub fn get_str(&self, attribute: u32) -> Option<&str> {
                let attribute = attribute as u16;
                // SAFETY: libnftnl answers with a C string inside the object, which outlives the borrow of it, or
                // with NULL.
                unsafe {
                    if !c::$is_set(self.0.as_ptr(), attribute) {
                        return None;
                    }
                    let text = c::$get_str(self.0.as_ptr(), attribute);
                    (!text.is_null()).then(|| CStr::from_ptr(text))?.to_str().ok()
                }
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

/// The setters of such an object.
macro_rules! setters {
    ($name:ident, $set_u32:ident, $set_str:ident) => {
        impl $name {
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
    };
}

object!(
    /// A table, for reading.
    RawTable, nftnl_table, nftnl_table_alloc, nftnl_table_free, nftnl_table_nlmsg_parse,
    nftnl_table_is_set, nftnl_table_get_data, nftnl_table_get_str
);

object!(
    /// A chain.
    RawChain, nftnl_chain, nftnl_chain_alloc, nftnl_chain_free, nftnl_chain_nlmsg_parse,
    nftnl_chain_is_set, nftnl_chain_get_data, nftnl_chain_get_str
);

object!(
    /// A rule.
    RawRule, nftnl_rule, nftnl_rule_alloc, nftnl_rule_free, nftnl_rule_nlmsg_parse,
    nftnl_rule_is_set, nftnl_rule_get_data, nftnl_rule_get_str
);

object!(
    /// A set or a map, and elements that were added to it.
    RawSet, nftnl_set, nftnl_set_alloc, nftnl_set_free, nftnl_set_nlmsg_parse,
    nftnl_set_is_set, nftnl_set_get_data, nftnl_set_get_str
);

setters!(RawChain, nftnl_chain_set_u32, nftnl_chain_set_str);
setters!(RawSet, nftnl_set_set_u32, nftnl_set_set_str);

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

    /// The devices of an ingress or egress hook.
    pub fn devices(&self) -> Vec<String> {
        let mut names = Vec::new();
        // SAFETY: libnftnl answers with NULL, or with an array of C strings inside the object that ends with NULL.
        unsafe {
            if c::nftnl_chain_is_set(self.0.as_ptr(), c::NFTNL_CHAIN_DEVICES as u16) {
                let mut at = c::nftnl_chain_get_array(self.0.as_ptr(), c::NFTNL_CHAIN_DEVICES as u16);
                while !at.is_null() && !(*at).is_null() {
                    names.push(CStr::from_ptr(*at).to_string_lossy().into_owned());
                    at = at.add(1);
                }
            }
        }
        names.extend(self.get_str(c::NFTNL_CHAIN_DEV).filter(|_| names.is_empty()).map(str::to_owned));
        names
    }

    /// The message that says it.
    pub fn message(&self, kind: u16, family: u8, flags: u16) -> Vec<u8> {
        build(kind, family, flags, |header| {
            // SAFETY: the buffer behind the header has room for the largest message.
            unsafe { c::nftnl_chain_nlmsg_build_payload(header, self.0.as_ptr()) };
        })
    }
}

impl RawRule {
    /// Its expressions, first to last.
    pub fn expressions(&self) -> Vec<ExprView<'_>> {
        let mut found = Vec::new();
        // SAFETY: the iterator lives as long as the rule, which is borrowed, and so do the expressions.
        unsafe {
            let iterator = allocated(c::nftnl_expr_iter_create(self.0.as_ptr()));
            while let Some(expression) = NonNull::new(c::nftnl_expr_iter_next(iterator.as_ptr())) {
                found.push(ExprView(expression, PhantomData));
            }
            c::nftnl_expr_iter_destroy(iterator.as_ptr());
        }
        found
    }
}

impl RawSet {
    /// The set of a message with elements, and these. `None` when it cannot be understood.
    pub fn read_elements(bytes: &[u8]) -> Option<Self> {
        let received = Received::new(bytes)?;
        let set = Self::new();
        // SAFETY: the message is as long as its header says, and both live until the call returns.
        let answer = unsafe { c::nftnl_set_elems_nlmsg_parse(received.header(), set.0.as_ptr()) };
        (answer >= 0).then_some(set)
    }

    /// Sets an attribute that is some bytes, 256 at most.
    pub fn set_data(&mut self, attribute: u32, data: &[u8]) {
        let data = data.get(..LONGEST_USERDATA).unwrap_or(data);
        let length = data.len() as u32;
        // SAFETY: the set is ours, and `length` bytes are copied, which `data` has.
        unsafe { c::nftnl_set_set_data(self.0.as_ptr(), attribute as u16, data.as_ptr().cast(), length) };
    }

    /// Adds an element.
    pub fn push(&mut self, element: RawElement) {
        // SAFETY: the set takes the element over, and frees it when it is freed.
        unsafe { c::nftnl_set_elem_add(self.0.as_ptr(), element.into_pointer()) };
    }

    /// Hands each element to `see`.
    pub fn for_each_element(&self, mut see: impl FnMut(&ElementView<'_>)) {
        // SAFETY: the iterator lives as long as the set, which is borrowed, and so do the elements.
        unsafe {
            let iterator = allocated(c::nftnl_set_elems_iter_create(self.0.as_ptr()));
            while let Some(element) = NonNull::new(c::nftnl_set_elems_iter_next(iterator.as_ptr())) {
                see(&ElementView(element, PhantomData));
            }
            c::nftnl_set_elems_iter_destroy(iterator.as_ptr());
        }
    }

    /// The message that says it, without elements.
    pub fn message(&self, kind: u16, family: u8, flags: u16) -> Vec<u8> {
        build(kind, family, flags, |header| {
            // SAFETY: the buffer behind the header has room for the largest message.
            unsafe { c::nftnl_set_nlmsg_build_payload(header, self.0.as_ptr()) };
        })
    }

    /// The messages that say its elements: as few as the 64 KiB of an attribute allow.
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

/// An element that is going to be added to a [`RawSet`].
pub struct RawElement(NonNull<c::nftnl_set_elem>);

impl RawElement {
    /// One without attributes.
    pub fn new() -> Self {
        // SAFETY: it only allocates.
        Self(allocated(unsafe { c::nftnl_set_elem_alloc() }))
    }

    /// Sets an attribute that is a number.
    pub fn set_u32(&mut self, attribute: u32, value: u32) {
        // SAFETY: the element is ours, and the value is copied.
        unsafe { c::nftnl_set_elem_set_u32(self.0.as_ptr(), attribute as u16, value) };
    }

    /// Sets an attribute that is a text.
    pub fn set_str(&mut self, attribute: u32, text: &str) {
        let text = c_string(text);
        // SAFETY: the element is ours, and the text is copied.
        unsafe { c::nftnl_set_elem_set_str(self.0.as_ptr(), attribute as u16, text.as_ptr()) };
    }

    /// Sets the key, its end or the datum: 64 bytes at most.
    pub fn set_value(&mut self, attribute: u32, value: &[u8]) {
        self.set_bytes(attribute, value.get(..LONGEST_VALUE).unwrap_or(value));
    }

    /// Sets the user data: 256 bytes at most.
    pub fn set_userdata(&mut self, data: &[u8]) {
        self.set_bytes(c::NFTNL_SET_ELEM_USERDATA, data.get(..LONGEST_USERDATA).unwrap_or(data));
    }

    fn set_bytes(&mut self, attribute: u32, bytes: &[u8]) {
        let length = bytes.len() as u32;
        // SAFETY: the element is ours, and `length` bytes are copied, which `bytes` has and the element takes.
        unsafe { c::nftnl_set_elem_set(self.0.as_ptr(), attribute as u16, bytes.as_ptr().cast(), length) };
    }

    fn into_pointer(self) -> *mut c::nftnl_set_elem {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for RawElement {
    fn drop(&mut self) {
        // SAFETY: the element is ours and not used again.
        unsafe { c::nftnl_set_elem_free(self.0.as_ptr()) };
    }
}

/// An element of a [`RawSet`] that was read.
pub struct ElementView<'a>(NonNull<c::nftnl_set_elem>, PhantomData<&'a RawSet>);

impl ElementView<'_> {
    /// An attribute as it stands there.
    pub fn get(&self, attribute: u32) -> Option<&[u8]> {
        let mut length = 0_u32;
        // SAFETY: libnftnl answers with a pointer to `length` bytes inside the element, which outlive the borrow of
        // it, or with NULL.
        unsafe {
            if !c::nftnl_set_elem_is_set(self.0.as_ptr(), attribute as u16) {
                return None;
            }
            let data = c::nftnl_set_elem_get(self.0.as_ptr(), attribute as u16, &raw mut length).cast::<u8>();
            (!data.is_null()).then(|| std::slice::from_raw_parts(data, length as usize))
        }
    }

    /// An attribute that is a number.
    pub fn get_u32(&self, attribute: u32) -> Option<u32> {
        self.get(attribute)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// An attribute that is a text.
    pub fn get_str(&self, attribute: u32) -> Option<&str> {
        // SAFETY: libnftnl answers with a C string inside the element, which outlives the borrow of it, or with NULL.
        unsafe {
            if !c::nftnl_set_elem_is_set(self.0.as_ptr(), attribute as u16) {
                return None;
            }
            let text = c::nftnl_set_elem_get_str(self.0.as_ptr(), attribute as u16);
            (!text.is_null()).then(|| CStr::from_ptr(text))?.to_str().ok()
        }
    }
}

impl nftnl::expr::Expression for Expr {
    fn to_expr(&self, _: &nftnl::Rule<'_>) -> NonNull<c::nftnl_expr> {
        self.write().into_pointer()
    }
}

/// An expression that is going to be added to a rule, which takes it over.
pub struct RawExpr(NonNull<c::nftnl_expr>);

impl RawExpr {
    /// One without attributes. `name` is the kernel's; all that this crate uses are known to libnftnl 1.2.0.
    pub fn new(name: &str) -> Self {
        let name = c_string(name);
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

/// An expression of a [`RawRule`] that was read.
pub struct ExprView<'a>(NonNull<c::nftnl_expr>, PhantomData<&'a RawRule>);

impl ExprView<'_> {
    /// The kernel's name for it.
    pub fn name(&self) -> &str {
        self.text(c::NFTNL_EXPR_NAME).unwrap_or_default()
    }

    /// An attribute as it stands there.
    pub fn get(&self, attribute: u32) -> Option<&[u8]> {
        let mut length = 0_u32;
        // SAFETY: libnftnl answers with a pointer to `length` bytes inside the expression, which outlive the borrow of
        // it, or with NULL.
        unsafe {
            if !c::nftnl_expr_is_set(self.0.as_ptr(), attribute as u16) {
                return None;
            }
            let data = c::nftnl_expr_get(self.0.as_ptr(), attribute as u16, &raw mut length).cast::<u8>();
            (!data.is_null()).then(|| std::slice::from_raw_parts(data, length as usize))
        }
    }

    /// An attribute that is a number of 1 to 8 bytes.
    pub fn number(&self, attribute: u32) -> Option<u64> {
        match self.get(attribute)? {
            [byte] => Some((*byte).into()),
            [a, b] => Some(u16::from_ne_bytes([*a, *b]).into()),
            [a, b, c, d] => Some(u32::from_ne_bytes([*a, *b, *c, *d]).into()),
            other => other.try_into().ok().map(u64::from_ne_bytes),
        }
    }

    /// An attribute that is a number of 1 to 4 bytes.
    pub fn u32(&self, attribute: u32) -> Option<u32> {
        self.number(attribute)?.try_into().ok()
    }

    /// An attribute that is a text.
    pub fn text(&self, attribute: u32) -> Option<&str> {
        // SAFETY: libnftnl answers with a C string inside the expression, which outlives the borrow of it, or with
        // NULL.
        unsafe {
            if !c::nftnl_expr_is_set(self.0.as_ptr(), attribute as u16) {
                return None;
            }
            let text = c::nftnl_expr_get_str(self.0.as_ptr(), attribute as u16);
            (!text.is_null()).then(|| CStr::from_ptr(text))?.to_str().ok()
        }
    }
}
