//! The engine and the resources that all guests share: the linker, the code cache, the epoch ticker, the limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use lector_core::{CallCtx, Engines, Fault, Kind};
use thiserror::Error;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::batching_policy::Places;
use crate::bindings::GuestPre;
use crate::bindings::policy::BatchingPolicyPre;
use crate::blocking::Blocking;
use crate::cache::{CodeCache, Found};
use crate::compiler::{self, CompilerConfig, chain};
use crate::epoch_ticker::EpochTicker;
use crate::guest::Guest;
use crate::inspect::{Inspection, inspect, within};
use crate::state::HostState;
use crate::status::{Counters, RuntimeStatus};
use crate::threads::Threads;
use crate::{engine, imports};

/// Configuration of the runtime.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Folder of compiled code. Only the host may be able to write to it. `None` disables the cache.
    pub code_cache_dir: Option<PathBuf>,
    /// Maximum bytes of the folder, the newest file not counted; 0: no limit.
    pub code_cache_bytes_max: u64,
    /// The process that compiles components. `None` compiles them in this process, where a defect of the compiler
    /// affects the host; for tests and for programs that cannot act as a compiler process.
    pub compiler: Option<CompilerConfig>,
    /// Maximum number of guests that run at once. Address space for them is reserved at the start; memory is not
    /// committed.
    pub instances_max: u32,
    /// Maximum size of one linear memory, regardless of the budget.
    pub memory_bytes_max: u64,
    /// Size of the largest component that is accepted.
    pub component_bytes_max: u64,
    /// Threads that guests compute on, and the number of concurrent pixel operations. Use the number of cores.
    pub blocking_threads: usize,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            code_cache_dir: None,
            code_cache_bytes_max: 0,
            compiler: None,
            instances_max: 64,
            memory_bytes_max: 1 << 30,
            component_bytes_max: 64 << 20,
            blocking_threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
        }
    }
}

/// The reason why the runtime could not start.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// wasmtime rejected its configuration, in most cases because address space is missing.
    #[error(
        "the WebAssembly engine cannot start; lower instances_max, which reserves address space for each guest"
    )]
    Engine(#[source] wasmtime::Error),
    /// The contract could not be linked; a defect.
    #[error("the contract cannot be linked")]
    Link(#[source] wasmtime::Error),
    /// The folder of compiled code cannot be used.
    #[error("the code cache {dir} cannot be used", dir = dir.display())]
    Cache {
        /// The folder.
        dir: PathBuf,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
    /// The threads of the guests could not be started.
    #[error("the threads that guests compute on cannot be started")]
    Threads(#[source] std::io::Error),
    /// The thread of the epoch ticker could not be started.
    #[error("the epoch thread cannot be started")]
    EpochTicker(#[source] std::io::Error),
}

/// The runtime of all guests.
pub struct Runtime {
    engine: Engine,
    linker: Linker<HostState>,
    /// Linker of batching policies; it has only the imports that they may call.
    policy_linker: Linker<HostState>,
    batching_policies: Places,
    engines: Arc<dyn Engines>,
    blocking: Blocking,
    cache: Option<CodeCache>,
    compiler: Option<CompilerConfig>,
    epoch_ticker: EpochTicker,
    threads: Threads,
    counters: Counters,
    instances: Arc<Semaphore>,
    instances_max: u32,
    /// Held while a component is compiled, one at a time. A component in the cache does not wait for it.
    compiling: Mutex<()>,
    component_bytes_max: u64,
}

impl Runtime {
    /// Starts the engine. Guests run their models on `engines`.
    pub fn new(config: RuntimeConfig, engines: Arc<dyn Engines>) -> Result<Arc<Self>, RuntimeError> {
        let engine = engine::engine(&config).map_err(RuntimeError::Engine)?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker).map_err(RuntimeError::Link)?;
        let mut policy_linker = Linker::new(&engine);
        imports::link_batching_policy(&mut policy_linker).map_err(RuntimeError::Link)?;
        let cache = match config.code_cache_dir {
            Some(dir) => Some(
                CodeCache::open(dir.clone(), engine::fingerprint(&engine), config.code_cache_bytes_max)
                    .map_err(|source| RuntimeError::Cache { dir, source })?,
            ),
            None => None,
        };
        let epoch_ticker = EpochTicker::start(&engine).map_err(RuntimeError::EpochTicker)?;
        let threads = Threads::start(config.blocking_threads).map_err(RuntimeError::Threads)?;
        Ok(Arc::new(Self {
            engine,
            linker,
            policy_linker,
            batching_policies: Places::new(),
            engines,
            blocking: Blocking::new(config.blocking_threads),
            cache,
            compiler: config.compiler,
            epoch_ticker,
            threads,
            counters: Counters::default(),
            instances: Arc::new(Semaphore::new(config.instances_max.max(1) as usize)),
            instances_max: config.instances_max.max(1),
            compiling: Mutex::default(),
            component_bytes_max: config.component_bytes_max,
        }))
    }

    /// Validates a component, compiles it or takes its code from the cache, and links it.
    pub async fn load(self: &Arc<Self>, wasm: Vec<u8>) -> Result<Arc<Guest>, Fault> {
        within(wasm.len() as u64, self.component_bytes_max)?;
        let wasm = Arc::new(wasm);
        let bytes = wasm.clone();
        let inspection = self.on_blocking_thread(move |_| {
            let inspection = inspect(&bytes)?;
            inspection.check()?;
            Ok(inspection)
        });
        let inspection = inspection.await?;
        let component = self.component(wasm, &inspection.sha256).await?;
        self.on_blocking_thread(move |runtime| runtime.link(&component, inspection)).await
    }

    /// Runs short blocking work on a blocking thread.
    async fn on_blocking_thread<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let runtime = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || work(&runtime));
        task.await.map_err(|error| defect(&error))?
    }

    fn link(self: &Arc<Self>, component: &Component, inspection: Inspection) -> Result<Arc<Guest>, Fault> {
        let mismatch = |error: wasmtime::Error| {
            Fault::new(
                Kind::Invalid,
                "component_world_mismatch",
                format!("the component does not fit the contract: {}", chain(&error)),
            )
        };
        let pre = self.linker.instantiate_pre(component).map_err(mismatch)?;
        let pre = GuestPre::new(pre).map_err(mismatch)?;
        let batching_policy = if inspection.has_batching_policy() {
            Some(self.link_batching_policy(component).map_err(mismatch)?)
        } else {
            None
        };
        Ok(Arc::new(Guest::new(self.clone(), pre, batching_policy, inspection)))
    }

    /// Links the component a second time, as the batching policy that it exports.
    fn link_batching_policy(&self, component: &Component) -> wasmtime::Result<BatchingPolicyPre<HostState>> {
        let mut linker = self.policy_linker.clone();
        linker.define_unknown_imports_as_traps(component)?;
        BatchingPolicyPre::new(linker.instantiate_pre(component)?)
    }

    async fn component(self: &Arc<Self>, wasm: Arc<Vec<u8>>, digest: &str) -> Result<Component, Fault> {
        if let Some(cached) = self.cached(digest).await? {
            return Ok(cached);
        }
        let _guard = self.compiling.lock().await;
        // The previous holder of the lock may have compiled the same component.
        if let Some(cached) = self.cached(digest).await? {
            return Ok(cached);
        }
        self.counters.cache_misses.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let code = match &self.compiler {
            Some(compiler) => compiler::compile(compiler, &self.engine, &wasm).await?,
            None => {
                let wasm = wasm.clone();
                let compiled = self.on_blocking_thread(move |runtime| {
                    compiler::precompile(&runtime.engine, &wasm).map_err(|why| compiler::invalid(&why))
                });
                compiled.await?
            }
        };
        let took_ms = began.elapsed().as_millis() as u64;
        info!(component = digest, bytes = wasm.len(), code_bytes = code.len(), took_ms, "compiled");
        let digest = digest.to_owned();
        let kept = self.on_blocking_thread(move |runtime| {
            if let Some(cache) = &runtime.cache {
                cache.put(&digest, &code);
            }
            // Load the bytes that were verified above, not the file, which may have changed meanwhile.
            runtime.deserialize(&code).map_err(|error| defect(&chain(&error)))
        });
        kept.await
    }

    /// Deserializes compiled code.
    fn deserialize(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are the output of `precompile` for an engine of the same fingerprint. They come from this
        // process, through a pipe from a process of this program that this one started, or from a folder that only this
        // host may write to; in the last two cases their digest was verified over these very bytes. wasmtime checks
        // version and configuration again.
        unsafe { Component::deserialize(&self.engine, code) }
    }

    async fn cached(self: &Arc<Self>, digest: &str) -> Result<Option<Component>, Fault> {
        let digest = digest.to_owned();
        self.on_blocking_thread(move |runtime| Ok(runtime.cached_now(&digest))).await
    }

    fn cached_now(&self, digest: &str) -> Option<Component> {
        let cache = self.cache.as_ref()?;
        let code = match cache.get(digest) {
            Found::Code(code) => code,
            Found::Nothing => return None,
            Found::Rejected => {
                self.counters.cache_rejected.fetch_add(1, Ordering::Relaxed);
                cache.forget(digest);
                return None;
            }
        };
        match self.deserialize(&code) {
            Ok(component) => {
                self.counters.cache_hits.fetch_add(1, Ordering::Relaxed);
                Some(component)
            }
            Err(error) => {
                warn!(%error, component = digest, "compiled code does not fit this engine; compiling again");
                self.counters.cache_rejected.fetch_add(1, Ordering::Relaxed);
                cache.forget(digest);
                None
            }
        }
    }

    /// Describes a component without compiling or linking it.
    pub fn inspect(wasm: &[u8]) -> Result<Inspection, Fault> {
        inspect(wasm)
    }

    /// Returns the counters.
    pub fn status(&self) -> RuntimeStatus {
        self.counters.snapshot(self.epoch_ticker.live())
    }

    /// Acquires an instance permit for the guest of a call and one for each pipeline that it wraps, all at once: if a
    /// guest kept its own permit while it waited for the permit of its inner pipeline, such guests could deadlock. The
    /// inner call uses the permit that the outer call acquired.
    pub(crate) async fn places(&self, ctx: &CallCtx) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        if ctx.depth > 0 {
            return Ok(None);
        }
        let stages = 1 + ctx.wrapped.as_ref().map_or(0, |wrapped| u32::from(wrapped.depth()));
        if stages > self.instances_max {
            let max = self.instances_max;
            let message = format!(
                "the pipeline has {stages} stages, and the server runs at most {max} guests at once; wrap fewer pipelines"
            );
            return Err(Fault::new(Kind::Unavailable, "pipeline_too_deep", message));
        }
        let permits = Arc::clone(&self.instances).acquire_many_owned(stages).await;
        permits.map(Some).map_err(|error| {
            Fault::new(Kind::Bug, "runtime_defect", "the runtime is closed").with_detail(error)
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the engines on which guests run their models.
    pub fn engines(&self) -> &Arc<dyn Engines> {
        &self.engines
    }

    pub(crate) fn blocking(&self) -> &Blocking {
        &self.blocking
    }

    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }

    pub(crate) fn batching_policies(&self) -> &Places {
        &self.batching_policies
    }

    pub(crate) fn epoch_ticker(&self) -> &EpochTicker {
        &self.epoch_ticker
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }
}

fn defect(cause: &dyn std::fmt::Display) -> Fault {
    Fault::new(Kind::Bug, "runtime_defect", "the component could not be loaded").with_detail(cause)
}
