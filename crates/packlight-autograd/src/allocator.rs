//! An allocator that counts.
//!
//! ```
//! use packlight_autograd::allocator::{self, Counting};
//!
//! #[global_allocator]
//! static ALLOCATOR: Counting<std::alloc::System> = Counting::new(std::alloc::System);
//!
//! let before = allocator::live();
//! let bytes = vec![0u8; 1 << 20];
//! assert!(allocator::live() - before >= bytes.len());
//! ```

use std::alloc::{GlobalAlloc, Layout};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static RELEASE: OnceLock<fn()> = OnceLock::new();

/// The bytes that the whole process has allocated and not yet freed; 0 where no [`Counting`]
/// allocator is installed.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// The most live bytes since the last [`reset_peak`], or since the start.
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}

/// Resets the peak to the present live bytes.
pub fn reset_peak() {
    PEAK.store(live(), Ordering::Relaxed);
}

/// Installs what [`release`] calls: a function that makes the allocator return to the system what
/// it holds in reserve. Later calls change nothing.
pub fn on_release(release: fn()) {
    let _ = RELEASE.set(release); // the first one stays
}

/// Has the allocator return to the system the memory that it holds in reserve, if it can be told
/// to; see [`on_release`].
pub fn release() {
    if let Some(release) = RELEASE.get() {
        release();
    }
}

/// A global allocator that forwards to `A` and counts the bytes.
pub struct Counting<A>(A);

impl<A> Counting<A> {
    /// Counts the allocations of `inner`.
    pub const fn new(inner: A) -> Self {
        Self(inner)
    }
}

fn add(size: usize) {
    let live = LIVE.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

fn remove(size: usize) {
    LIVE.fetch_sub(size, Ordering::Relaxed);
}

// SAFETY: every call is forwarded to the inner allocator and its result is returned, both
// unchanged; counting neither allocates nor panics.
#[allow(unsafe_code)]
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `GlobalAlloc::alloc`.
        let pointer = unsafe { self.0.alloc(layout) };
        if !pointer.is_null() {
            add(layout.size());
        }
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `GlobalAlloc::alloc_zeroed`.
        let pointer = unsafe { self.0.alloc_zeroed(layout) };
        if !pointer.is_null() {
            add(layout.size());
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `GlobalAlloc::dealloc`.
        unsafe { self.0.dealloc(pointer, layout) };
        remove(layout.size());
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `GlobalAlloc::realloc`.
        let new = unsafe { self.0.realloc(pointer, layout, size) };
        if !new.is_null() {
            add(size);
            remove(layout.size());
        }
        new
    }
}
