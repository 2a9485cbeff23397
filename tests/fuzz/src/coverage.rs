//! Coverage of one input, from the counters of LLVM's SanitizerCoverage ("inline 8-bit counters").
//!
//! Owns the registered counters. Without the compiler flags that `cargo xtask fuzz` sets there are none, and inputs are
//! told apart by their outcomes alone. The pass is part of the stable compiler, so that neither a nightly compiler nor
//! the runtime of a sanitizer is needed. Counters of the harness itself do not matter: they are reset before each input.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The counters of each instrumented module, one for each edge of its control flow.
static REGIONS: Mutex<Vec<&'static [AtomicU8]>> = Mutex::new(Vec::new());

/// Registers the counters of a module. Each instrumented module calls it before `main`.
///
/// # Safety
///
/// `start` and `stop` are the bounds of a static array of bytes that only instrumented code writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let length = (stop as usize).saturating_sub(start as usize);
    if start.is_null() || length == 0 {
        return;
    }
    // SAFETY: the array is static, `AtomicU8` has the layout of `u8`, and only instrumented code writes the bytes
    // otherwise, one byte at a time.
    let region = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU8>(), length) };
    REGIONS.lock().unwrap_or_else(PoisonError::into_inner).push(region);
}

/// The edges seen so far, each with the classes of its counts.
#[derive(Debug, Default)]
pub struct Coverage {
    seen: Vec<u8>,
    edges: usize,
}

impl Coverage {
    /// Resets the counters.
    pub fn begin() {
        for region in &*REGIONS.lock().unwrap_or_else(PoisonError::into_inner) {
            region.iter().for_each(|counter| counter.store(0, Relaxed));
        }
    }

    /// Adds the counters since [`begin`](Self::begin); returns whether an edge, or a class of its count, is new.
    pub fn add(&mut self) -> bool {
        let mut is_new = false;
        let regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let counters = regions.iter().flat_map(|region| region.iter());
        for (place, counter) in counters.enumerate() {
            let count = counter.load(Relaxed);
            if count == 0 {
                continue;
            }
            if place >= self.seen.len() {
                self.seen.resize(place + 1, 0);
            }
            let Some(seen) = self.seen.get_mut(place) else { continue };
            let class = class(count);
            self.edges += usize::from(*seen == 0);
            is_new |= *seen & class == 0;
            *seen |= class;
        }
        is_new
    }

    /// Returns the number of edges seen.
    pub fn edges(&self) -> usize {
        self.edges
    }
}

/// Returns the class of a count as one bit, as in AFL and libFuzzer: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more.
fn class(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        128.. => 128,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_edge_and_a_new_class_of_its_count_are_new() {
        static COUNTERS: [AtomicU8; 3] = [const { AtomicU8::new(0) }; 3];
        let start = COUNTERS.as_ptr().cast_mut().cast::<u8>();
        // SAFETY: the bounds of a static array of bytes.
        unsafe { __sanitizer_cov_8bit_counters_init(start, start.add(3)) };
        let mut coverage = Coverage::default();
        let mut run = |counts: [u8; 3]| {
            COUNTERS.iter().zip(counts).for_each(|(counter, count)| counter.store(count, Relaxed));
            coverage.add()
        };
        // Instrumented, the harness itself may be new in the first runs.
        run([0, 0, 0]);
        assert!(run([1, 0, 0]));
        assert!(run([1, 0, 5]));
        assert!(run([1, 0, 200]));
        assert_eq!(COUNTERS.first().unwrap().load(Relaxed), 1);
        Coverage::begin();
        assert!(COUNTERS.iter().all(|counter| counter.load(Relaxed) == 0));
        assert!((0..=u8::MAX).all(|count| class(count).count_ones() == u32::from(count > 0)));
    }
}
