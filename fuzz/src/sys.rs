//! An allocator that counts. All the `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which counts by thread what is in use.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does the work; what is counted beside it neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as the caller has promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as the caller has promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as the caller has promised.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed().wrapping_sub(layout.size().cast_signed()));
        // SAFETY: as the caller has promised.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn count(more: isize) {
    let now = NOW.get().wrapping_add(more);
    NOW.set(now);
    PEAK.set(PEAK.get().max(now));
}

/// What `work` returns, and how many bytes this thread had in use at most, beyond those before it.
pub fn counted<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (before, outer) = (NOW.get(), PEAK.get());
    PEAK.set(before);
    let done = work();
    let most = PEAK.get().wrapping_sub(before).max(0).cast_unsigned();
    PEAK.set(outer.max(PEAK.get()));
    (done, most)
}
