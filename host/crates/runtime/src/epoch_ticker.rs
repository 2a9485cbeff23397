//! The clock of epochs: one thread that advances the engine's epoch every millisecond while guests are
//! running, and sleeps while none is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// Between two epochs. A guest that computes hands its thread back this often.
const TICK: Duration = Duration::from_millis(1);
/// Longest sleep without guests: how long an abandoned thread outlives its engine.
const IDLE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Shared {
    live: AtomicU64,
    /// The bell that ends an idle sleep; nothing is kept under the lock.
    lock: Mutex<()>,
    bell: Condvar,
}

/// Keeps the epochs of one engine going. The thread ends when the engine does.
#[derive(Clone, Debug)]
pub struct EpochTicker(Arc<Shared>);

/// One running guest; epochs advance while any of these lives.
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
                // A guest that began between the look and the lock has rung before we listen: look again.
                if seen.live.load(Ordering::SeqCst) == 0 {
                    drop(seen.bell.wait_timeout(guard, IDLE));
                }
            }
        })?;
        Ok(Self(shared))
    }

    /// A guest begins to run.
    pub fn enter(&self) -> Running {
        if self.0.live.fetch_add(1, Ordering::SeqCst) == 0 {
            let _guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.bell.notify_one();
        }
        Running(Arc::clone(&self.0))
    }

    /// Guests running now.
    pub fn live(&self) -> u64 {
        self.0.live.load(Ordering::SeqCst)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}
