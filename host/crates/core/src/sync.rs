//! The locks of this crate: those of the standard library. The crate `tests/schedules` compiles `fair` with others, which try
//! the interleavings of threads one by one.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
