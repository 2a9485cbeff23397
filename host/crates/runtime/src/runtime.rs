//! The engine and everything that guests share: the linker, the code cache, the clock, the bounds.

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

/// How the runtime is set up.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Folder of compiled code; it must belong to the host alone. `None`: nothing is kept.
    pub code_cache_dir: Option<PathBuf>,
    /// Most bytes of it beside the newest code; 0: no limit.
    pub code_cache_bytes_max: u64,
    /// The process that compiles; `None`: components are compiled in this one, where whatever a compiler does wrong is
    /// done to the host. For tests and programs that are none a compiler could be.
    pub compiler: Option<CompilerConfig>,
    /// Guests that may run at once; memory for them is reserved (not taken) at the start.
    pub instances_max: u32,
    /// Cap of one linear memory, whatever a budget says.
    pub memory_bytes_max: u64,
    /// Largest component that is loaded.
    pub component_bytes_max: u64,
    /// Threads that guests compute on, and pixel operations that run at once; the number of cores is right.
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

/// Why the runtime could not start.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// wasmtime refused its configuration, mostly for want of address space.
    #[error(
        "the WebAssembly engine cannot start; fewer guests at once (instances_max) need less address space"
    )]
    Engine(#[source] wasmtime::Error),
    /// The contract could not be linked: a defect.
    #[error("the contract cannot be linked")]
    Link(#[source] wasmtime::Error),
    /// The folder of compiled code cannot be used.
    #[error("the code cache {dir} cannot be used", dir = dir.display())]
    Cache {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The guests' threads could not be started.
    #[error("the threads that guests compute on cannot be started")]
    Threads(#[source] std::io::Error),
    /// The clock's thread could not be started.
    #[error("the epoch thread cannot be started")]
    EpochTicker(#[source] std::io::Error),
}

/// The home of guests.
pub struct Runtime {
    engine: Engine,
    linker: Linker<HostState>,
    /// For batching programs: what they may call, and nothing else.
    program_linker: Linker<HostState>,
    batching_policies: Places,
    engines: Arc<dyn Engines>,
    blocking: Blocking,
    cache: Option<CodeCache>,
    compiler: Option<CompilerConfig>,
    epoch_ticker: EpochTicker,
    threads: Threads,
    counters: Counters,
    places: Arc<Semaphore>,
    places_max: u32,
    /// Held while a component is compiled: one at a time; one that is in the cache waits for nobody.
    compiling: Mutex<()>,
    component_bytes_max: u64,
}

impl Runtime {
    /// Starts the engine. Guests will run their models on `engines`.
    pub fn new(config: RuntimeConfig, engines: Arc<dyn Engines>) -> Result<Arc<Self>, RuntimeError> {
        let engine = engine::engine(&config).map_err(RuntimeError::Engine)?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker).map_err(RuntimeError::Link)?;
        let mut program_linker = Linker::new(&engine);
        imports::link_batching_policy(&mut program_linker).map_err(RuntimeError::Link)?;
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
            program_linker,
            batching_policies: Places::new(),
            engines,
            blocking: Blocking::new(config.blocking_threads),
            cache,
            compiler: config.compiler,
            epoch_ticker,
            threads,
            counters: Counters::default(),
            places: Arc::new(Semaphore::new(config.instances_max.max(1) as usize)),
            places_max: config.instances_max.max(1),
            compiling: Mutex::default(),
            component_bytes_max: config.component_bytes_max,
        }))
    }

    /// Validates, compiles (or takes from the cache) and links a component.
    pub async fn load(self: &Arc<Self>, wasm: Vec<u8>) -> Result<Arc<Guest>, Fault> {
        within(wasm.len() as u64, self.component_bytes_max)?;
        let wasm = Arc::new(wasm);
        let bytes = wasm.clone();
        let inspection = self.aside(move |_| {
            let inspection = inspect(&bytes)?;
            inspection.check()?;
            Ok(inspection)
        });
        let inspection = inspection.await?;
        let component = self.component(wasm, &inspection.sha256).await?;
        self.aside(move |runtime| runtime.link(&component, inspection)).await
    }

    /// Does what takes moments on a thread that may be blocked.
    async fn aside<T: Send + 'static>(
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

    /// The component once more, as the program for batches that it exports.
    fn link_batching_policy(&self, component: &Component) -> wasmtime::Result<BatchingPolicyPre<HostState>> {
        let mut linker = self.program_linker.clone();
        linker.define_unknown_imports_as_traps(component)?;
        BatchingPolicyPre::new(linker.instantiate_pre(component)?)
    }

    async fn component(self: &Arc<Self>, wasm: Arc<Vec<u8>>, digest: &str) -> Result<Component, Fault> {
        if let Some(cached) = self.cached(digest).await? {
            return Ok(cached);
        }
        let _turn = self.compiling.lock().await;
        // Whoever had the turn before may have compiled the same.
        if let Some(cached) = self.cached(digest).await? {
            return Ok(cached);
        }
        self.counters.cache_misses.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let code = match &self.compiler {
            Some(compiler) => compiler::compile(compiler, &self.engine, &wasm).await?,
            None => {
                let wasm = wasm.clone();
                let compiled = self.aside(move |runtime| {
                    compiler::precompile(&runtime.engine, &wasm).map_err(|why| compiler::invalid(&why))
                });
                compiled.await?
            }
        };
        let took_ms = began.elapsed().as_millis() as u64;
        info!(component = digest, bytes = wasm.len(), code_bytes = code.len(), took_ms, "compiled");
        let digest = digest.to_owned();
        let kept = self.aside(move |runtime| {
            if let Some(cache) = &runtime.cache {
                cache.put(&digest, &code);
            }
            // What was verified on its way here, not what lies in the folder by now.
            runtime.adopt(&code).map_err(|error| defect(&chain(&error)))
        });
        kept.await
    }

    /// The component of serialized code.
    fn adopt(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are what `precompile` gave for an engine of the same fingerprint. They come from this process,
        // through a pipe from a process of this program that this one started, or from a folder that only this host may
        // write to, and in the latter cases their digest was verified over these very bytes. wasmtime checks version
        // and configuration once more.
        unsafe { Component::deserialize(&self.engine, code) }
    }

    async fn cached(self: &Arc<Self>, digest: &str) -> Result<Option<Component>, Fault> {
        let digest = digest.to_owned();
        self.aside(move |runtime| Ok(runtime.cached_now(&digest))).await
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
        match self.adopt(&code) {
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

    /// What a component says of itself, without compiling or linking it.
    pub fn inspect(wasm: &[u8]) -> Result<Inspection, Fault> {
        inspect(wasm)
    }

    /// Counts.
    pub fn status(&self) -> RuntimeStatus {
        self.counters.snapshot(self.epoch_ticker.live())
    }

    /// Takes a place for the guest of a call, and one for each pipeline that it wraps, all at once: a guest that waited for the
    /// place of its inner pipeline while it keeps its own could wait for ever. The inner call finds its place taken.
    pub(crate) async fn places(&self, ctx: &CallCtx) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        if ctx.depth > 0 {
            return Ok(None);
        }
        let stages = 1 + ctx.wrapped.as_ref().map_or(0, |wrapped| u32::from(wrapped.depth()));
        if stages > self.places_max {
            let max = self.places_max;
            let message =
                format!("the pipeline has {stages} stages, and the server runs {max} guests at once");
            return Err(Fault::new(Kind::Unavailable, "pipeline_too_deep", message));
        }
        let places = Arc::clone(&self.places).acquire_many_owned(stages).await;
        places.map(Some).map_err(|error| {
            Fault::new(Kind::Bug, "runtime_defect", "the runtime is closed").with_detail(error)
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engines on which guests run their models.
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
