//! The epoch ticker: one thread that advances the engine's epoch every millisecond while guests run, and sleeps while
//! none runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// Time between two epochs. A guest that computes yields its thread this often.
const TICK: Duration = Duration::from_millis(1);
/// Longest sleep without guests: the time that the thread outlives its engine.
const IDLE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Shared {
    live: AtomicU64,
    /// Mutex of the condition variable that ends an idle sleep; it protects no data.
    lock: Mutex<()>,
    wakeup: Condvar,
}

/// Advances the epochs of one engine. The thread ends when the engine is dropped.
#[derive(Clone, Debug)]
pub struct EpochTicker(Arc<Shared>);

/// One running guest; epochs advance while any of these exists.
#[derive(Debug)]
pub struct Running(Arc<Shared>);

impl EpochTicker {
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, seen) = (engine.weak(), Arc::clone(&shared));
        thread::Builder::new().name("lector-epochs".into()).spawn(move || {
            loop {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
                if seen.live.load(Ordering::SeqCst) > 0 {
                    thread::sleep(TICK);
                    continue;
                }
                let guard = seen.lock.lock().unwrap_or_else(PoisonError::into_inner);
                // Check again under the lock: a guest that began after the check above has notified before this thread
                // waits.
                if seen.live.load(Ordering::SeqCst) == 0 {
                    drop(seen.wakeup.wait_timeout(guard, IDLE));
                }
            }
        })?;
        Ok(Self(shared))
    }

    /// Marks a guest as running until the returned value is dropped.
    pub fn enter(&self) -> Running {
        if self.0.live.fetch_add(1, Ordering::SeqCst) == 0 {
            let _guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.wakeup.notify_one();
        }
        Running(Arc::clone(&self.0))
    }

    /// Returns the number of running guests.
    pub fn live(&self) -> u64 {
        self.0.live.load(Ordering::SeqCst)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}
