//! The locks of the queue of a lane: those of the standard library. The crate `tests/schedules` compiles it with others, which
//! try the interleavings of threads one by one.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
