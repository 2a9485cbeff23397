//! How a component becomes a guest: inspected, compiled or taken from the code cache, linked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use lector_core::fair::{FairSemaphore, Request};
use lector_core::{Engines, Fault, Kind, TenantName};
use tracing::{info, warn};
use wasmtime::component::{Component, Linker};

use crate::bindings::GuestPre;
use crate::bindings::options::GuestOptionsPre;
use crate::bindings::policy::BatchingPolicyPre;
use crate::cache::{CodeCache, Found};
use crate::compiler::{self, chain};
use crate::config::{CompilerConfig, RuntimeConfig, RuntimeError};
use crate::executor::Executor;
use crate::guest::{Exports, Guest};
use crate::inspect::{Inspection, inspect, within};
use crate::installed_code::InstalledCode;
use crate::log::printable;
use crate::state::HostState;
use crate::status::RuntimeStatus;
use crate::{engine, imports};

/// Maximum length of wasmtime's cause in a message, in bytes: it quotes names of the component.
const CAUSE_BYTES_MAX: usize = 2048;
/// Components that are compiled at once, and how many more for tenants of which none is compiled: the compiler has all cores and
/// minutes for one component, and a rollback of another tenant may need it.
const COMPILING_MAX: usize = 1;
const COMPILING_EXTRA: usize = 1;
/// Cost at which a component counts in the queue for the compiler, until its time is known: that of the standard guest.
const COMPILE_COST_MS: f64 = 1000.0;

/// The runtime of all guests.
pub struct Runtime {
    executor: Arc<Executor>,
    linker: Linker<HostState>,
    /// Linker of batching policies; it has only the imports that they may call.
    policy_linker: Linker<HostState>,
    cache: Option<CodeCache>,
    installed_code: Option<InstalledCode>,
    compiler: Option<CompilerConfig>,
    /// Permits to compile, in equal shares of the tenants. A component in the cache needs none.
    compiling: FairSemaphore,
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
        let executor = Executor::start(engine.clone(), &config, engines)?;
        let cache = match config.code_cache_dir {
            Some(dir) => Some(
                CodeCache::open(dir.clone(), engine::fingerprint(&engine), config.code_cache_bytes_max)
                    .map_err(|source| RuntimeError::Cache { dir, source })?,
            ),
            None => None,
        };
        Ok(Arc::new(Self {
            executor,
            linker,
            policy_linker,
            cache,
            installed_code: config.installed_code.map(InstalledCode::new),
            compiler: config.compiler,
            compiling: FairSemaphore::with_extra(COMPILING_MAX, COMPILING_EXTRA),
            component_bytes_max: config.component_bytes_max,
        }))
    }

    /// Validates a component, takes its code from the cache or the installation or compiles it, and links it. `tenant` waits
    /// for the compiler, which serves the tenants in turns.
    pub async fn load(self: &Arc<Self>, wasm: Vec<u8>, tenant: &TenantName) -> Result<Arc<Guest>, Fault> {
        within(wasm.len() as u64, self.component_bytes_max)?;
        let wasm = Arc::new(wasm);
        let bytes = wasm.clone();
        let inspection = self.on_blocking_thread(move |_| {
            let inspection = inspect(&bytes)?;
            inspection.check()?;
            Ok(inspection)
        });
        let inspection = inspection.await?;
        let component = self.component(wasm, &inspection.sha256, tenant).await?;
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
            let cause = printable(&chain(&error), CAUSE_BYTES_MAX);
            let message = format!("the component does not fit the contract: {cause}");
            Fault::new(Kind::Invalid, "component_world_mismatch", message)
        };
        let pre = self.linker.instantiate_pre(component).map_err(mismatch)?;
        let options = inspection.has_options().then(|| GuestOptionsPre::new(pre.clone()));
        let options = options.transpose().map_err(mismatch)?;
        let pre = GuestPre::new(pre).map_err(mismatch)?;
        let batching_policy = if inspection.has_batching_policy() {
            Some(self.link_batching_policy(component).map_err(mismatch)?)
        } else {
            None
        };
        let exports = Exports { pipeline: pre, batching_policy, options };
        Ok(Arc::new(Guest::new(self.executor.clone(), exports, inspection)))
    }

    /// Links the component a second time, as the batching policy that it exports.
    fn link_batching_policy(&self, component: &Component) -> wasmtime::Result<BatchingPolicyPre<HostState>> {
        let mut linker = self.policy_linker.clone();
        linker.define_unknown_imports_as_traps(component)?;
        BatchingPolicyPre::new(linker.instantiate_pre(component)?)
    }

    async fn component(
        self: &Arc<Self>,
        wasm: Arc<Vec<u8>>,
        digest: &str,
        tenant: &TenantName,
    ) -> Result<Component, Fault> {
        if let Some(cached) = self.cached(digest).await? {
            return Ok(cached);
        }
        let permit = self.compiling.acquire(Request::one(tenant.clone(), 1, COMPILE_COST_MS)).await;
        // A previous holder of the permit may have compiled the same component.
        if let Some(cached) = self.cached(digest).await? {
            return Ok(cached);
        }
        self.executor.counters.cache_misses.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let compiled = self.compiled(&wasm).await;
        let took_ms = began.elapsed().as_millis() as u64;
        // A component that was refused has taken its time as well.
        permit.correct(took_ms as f64 - COMPILE_COST_MS);
        let code = compiled?;
        info!(component = digest, bytes = wasm.len(), code_bytes = code.len(), took_ms, "compiled");
        let digest = digest.to_owned();
        let kept = self.on_blocking_thread(move |runtime| {
            // Load the bytes that were verified above, not the file, which may have changed meanwhile. Only code that
            // this engine can run is kept.
            let component = runtime.deserialize(&code).map_err(|error| unfit(&error))?;
            if let Some(cache) = &runtime.cache {
                cache.put(&digest, &code);
            }
            Ok(component)
        });
        kept.await
    }

    /// Compiles a component.
    async fn compiled(self: &Arc<Self>, wasm: &Arc<Vec<u8>>) -> Result<Vec<u8>, Fault> {
        if let Some(compiler) = &self.compiler {
            return compiler::compile(compiler, &self.executor.engine, wasm).await;
        }
        let wasm = wasm.clone();
        let compiled = self.on_blocking_thread(move |runtime| {
            compiler::precompile(&runtime.executor.engine, &wasm).map_err(|why| compiler::invalid(&why))
        });
        compiled.await
    }

    /// Deserializes compiled code.
    fn deserialize(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the bytes must be the output of `precompile` for an engine of this configuration, because wasmtime runs
        // them as they are. They are one of four:
        // - Made in this process by `precompile`.
        // - Received whole (their digest is verified) through a pipe from a process of this program that this one
        //   started. That process reads the client's component, so this relies on wasmtime's compiler, which is safe
        //   Rust: a component that took that process over could answer with code of its own. The same holds where this
        //   process compiles.
        // - Read from a file that only this user and root can have written (`cache.rs` checks the owner and the mode of
        //   the open file, and the digest of the bytes that are returned here), which are trusted.
        // - Read from a file that was installed with this program and that only users who may write the program may write,
        //   with the digest that the installation has for it (`installed_code.rs`).
        // wasmtime checks its version, the configuration and the features of the processor again.
        unsafe { Component::deserialize(&self.executor.engine, code) }
    }

    async fn cached(self: &Arc<Self>, digest: &str) -> Result<Option<Component>, Fault> {
        let digest = digest.to_owned();
        self.on_blocking_thread(move |runtime| Ok(runtime.cached_now(&digest))).await
    }

    fn cached_now(&self, digest: &str) -> Option<Component> {
        self.cached_component(digest).or_else(|| self.installed_component(digest))
    }

    /// Returns a component of the release. Its code is not copied to the cache: it is read as fast where it is.
    fn installed_component(&self, digest: &str) -> Option<Component> {
        let code = self.installed_code.as_ref()?.get(digest)?;
        match self.deserialize(&code) {
            Ok(component) => {
                self.executor.counters.cache_hits.fetch_add(1, Ordering::Relaxed);
                Some(component)
            }
            // The processor may lack a feature that the code uses.
            Err(error) => {
                let error = chain(&error);
                warn!(%error, component = digest, "installed code does not fit this machine; compiling instead"
                );
                None
            }
        }
    }

    fn cached_component(&self, digest: &str) -> Option<Component> {
        let cache = self.cache.as_ref()?;
        let code = match cache.get(digest) {
            Found::Code(code) => code,
            Found::Nothing => return None,
            Found::Rejected => {
                self.executor.counters.cache_rejected.fetch_add(1, Ordering::Relaxed);
                cache.forget(digest);
                return None;
            }
        };
        match self.deserialize(&code) {
            Ok(component) => {
                self.executor.counters.cache_hits.fetch_add(1, Ordering::Relaxed);
                Some(component)
            }
            Err(error) => {
                warn!(%error, component = digest, "compiled code does not fit this engine; compiling again");
                self.executor.counters.cache_rejected.fetch_add(1, Ordering::Relaxed);
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
        let Executor { engine, counters, epoch_ticker, .. } = &*self.executor;
        let mut status = counters.snapshot(epoch_ticker.live());
        if let Some(pool) = engine.pooling_allocator_metrics() {
            status.idle_memories = u64::from(pool.unused_warm_memories());
            status.idle_memory_bytes = pool.unused_memory_bytes_resident() as u64;
        }
        status
    }

    /// Returns the engines on which guests run their models.
    pub fn engines(&self) -> &Arc<dyn Engines> {
        &self.executor.engines
    }
}

/// Returns the fault of a valid component whose code this engine does not take. The compiler knows no limits of instances;
/// they are checked here, where the component needs more memories, tables or instances than a guest may have.
fn unfit(error: &wasmtime::Error) -> Fault {
    // The host's own failures, such as a lack of address space, are those of the operating system.
    if error.chain().any(|cause| cause.is::<std::io::Error>()) {
        return defect(&chain(error));
    }
    let cause = printable(&chain(error), CAUSE_BYTES_MAX);
    let message = format!("the component needs more than a guest may have: {cause}");
    Fault::new(Kind::Invalid, "component_invalid", message)
}

fn defect(cause: &dyn std::fmt::Display) -> Fault {
    Fault::new(Kind::Bug, "runtime_defect", "the component could not be loaded").with_detail(cause)
}
