//! The configuration of wasmtime, and its fingerprint.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::batching_policy::POLICY_INSTANCES_MAX;
use crate::config::RuntimeConfig;

/// Bytes of a linear memory that stay mapped in an idle slot and are reset in place. The rest is unmapped, and the next
/// guest pays page faults for it. If the kernel reports written pages (Linux 6.7, `PAGEMAP_SCAN`), only those are
/// reset: a call of the standard guest then takes 86 us instead of 138 us (measured).
const MEMORY_KEEP_RESIDENT_BYTES: usize = 4 << 20;
/// The same if the kernel does not report written pages: all of it is cleared every time.
const MEMORY_CLEARED_BYTES: usize = 512 << 10;
/// The same for tables: 8 bytes an element; guests have a few thousand elements.
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// The same for the stacks of guests.
const STACK_KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// Maximum idle slots that keep memory for the component that they ran last, where that is more than four for each core.
/// Up to here, a component that is new to the pool takes a slot that was never used, and the slots of a component that was
/// freed keep their memory: without the bound, each deploy would add up to [`MEMORY_KEEP_RESIDENT_BYTES`] until all slots
/// were used once.
const IDLE_SLOTS_MAX: u32 = 32;
/// Average number of core instances, memories and tables that one guest instance may use at once: Rust guests use 2-4
/// core instances with one memory and one table each, interpreters in wasm about 10.
const CORE_INSTANCES_PER_GUEST: u32 = 16;
const MEMORIES_PER_GUEST: u32 = 2;
const TABLES_PER_GUEST: u32 = 16;
/// Maximum elements of one table; see `limits` for all tables together.
const TABLE_ELEMENTS_MAX: usize = 50_000;
/// Maximum stacks of one guest at once: the call itself, and the tasks that it spawned.
const STACKS_PER_GUEST: u32 = 4;
/// Stack of the guest's own code; deep recursion traps at its end.
const WASM_STACK_BYTES: usize = 512 << 10;
/// The whole stack of a call, including the host functions that it calls.
const CALL_STACK_BYTES: usize = 2 << 20;
/// Frames that a trap reports: a panic has a dozen of the standard library's before the first one of the guest's author.
const BACKTRACE_FRAMES: usize = 32;

/// Creates the engine for `config`.
pub fn engine(config: &RuntimeConfig) -> wasmtime::Result<Engine> {
    let instances = config.instances_max.max(1).saturating_add(POLICY_INSTANCES_MAX);
    // The pool divides them among its shards, about one for each core.
    let per_core = u32::try_from(config.blocking_threads).unwrap_or(u32::MAX).saturating_mul(4);
    let idle_slots_max = IDLE_SLOTS_MAX.max(per_core);
    let keep = if PoolingAllocationConfig::is_pagemap_scan_available() {
        MEMORY_KEEP_RESIDENT_BYTES
    } else {
        MEMORY_CLEARED_BYTES
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_GUEST))
        .total_memories(instances.saturating_mul(MEMORIES_PER_GUEST))
        .total_tables(instances.saturating_mul(TABLES_PER_GUEST))
        .total_stacks(instances.saturating_mul(STACKS_PER_GUEST))
        .total_gc_heaps(instances)
        .max_core_instances_per_component(64)
        .max_memories_per_component(8)
        .max_tables_per_component(64)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(usize::try_from(config.memory_bytes_max).unwrap_or(usize::MAX))
        .max_unused_warm_slots(instances.min(idle_slots_max))
        .linear_memory_keep_resident(keep)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(STACK_KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    Engine::new(shared().allocation_strategy(InstanceAllocationStrategy::Pooling(pool)))
}

/// Creates an engine that only compiles: its code runs on the other engine, and it reserves nothing for instances.
pub fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&shared())
}

/// Features of the processors that installed code is made for: x86-64-v3, which servers have since 2013. cranelift's preset of
/// that name lacks AVX, which AVX2 includes.
const BASELINE: [&str; 2] = ["x86-64-v3", "has_avx"];

/// Creates an engine that only compiles, for every processor with the features of [`BASELINE`], whatever this machine has.
pub fn portable() -> wasmtime::Result<Engine> {
    let mut config = shared();
    // With a target, no feature of this machine is assumed.
    config.target("x86_64-unknown-linux-gnu")?;
    for feature in BASELINE {
        // SAFETY: a wrong flag could make code that the processor or the runtime does not support. These are features of
        // the processor, and wasmtime compares those of the code with the machine before it loads the code.
        unsafe { config.cranelift_flag_enable(feature) };
    }
    Engine::new(&config)
}

/// Returns the settings that compiled code depends on.
fn shared() -> Config {
    let mut engine = Config::new();
    engine
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .parallel_compilation(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(CALL_STACK_BYTES)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES));
    engine
}

/// Returns a hash of all that compiled code depends on: wasmtime's version, the target, the settings. Code with another
/// fingerprint must not be loaded by this engine.
pub fn fingerprint(engine: &Engine) -> String {
    struct Sink(Sha256);
    impl Hasher for Sink {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sink = Sink(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sink);
    let mut name = base16ct::lower::encode_string(&sink.0.finalize());
    // 64 bits distinguish the configurations of one host.
    name.truncate(16);
    name
}
