//! Cost of one ONNX Runtime configuration, measured in a process of its own: time, CPU seconds and resident memory of S
//! sessions with T threads each over a list of shapes.
//!
//! `sweep LIB MODEL key=value...` with `shapes=1x48x320,4x48x640` (rows x height x width), `sessions=1`, `threads=1`,
//! `spin=0`, `arena=own|off|shared|same|shrink`, `pattern=0`, `opt=3`, `ftz=0`, `prepacked=1`, `ctc=0`, `turns=3`
//! (repetitions). Writes one line of figures to standard output. The table in `src/config.rs` comes from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::time::Instant;

#[path = "shared/measure.rs"]
mod measure;

use measure::{cpu_seconds, page_like, status_mib};
use ort::AsPointer;
use ort::ep;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights};
use ort::session::{OutputSelector, RunOptions, Session};
use ort::value::TensorRef;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (library, model) = (args.get(1).expect("LIB MODEL"), args.get(2).expect("LIB MODEL"));
    let options: BTreeMap<&str, &str> = args.iter().skip(3).filter_map(|a| a.split_once('=')).collect();
    let number = |key: &str, default: usize| options.get(key).map_or(default, |v| v.parse().expect("number"));
    let shapes: Vec<[usize; 4]> = options
        .get("shapes")
        .expect("shapes=")
        .split(',')
        .map(|s| {
            let d: Vec<usize> = s.split('x').map(|n| n.parse().expect("shape")).collect();
            [d[0], 3, d[1], d[2]]
        })
        .collect();
    let arena = *options.get("arena").unwrap_or(&"own");
    let (sessions, turns) = (number("sessions", 1), number("turns", 3));

    let environment =
        ort::init_from(library).unwrap().with_name("sweep").with_telemetry(false).build().unwrap();
    environment.set_log_level(ort::logging::LogLevel::Error);
    if arena == "shared" || arena == "same" {
        register_arena(&environment, arena == "same");
    }
    let mut bytes = std::fs::read(model).unwrap();
    let prepacked = PrepackedWeights::new();
    let build = |bytes: &[u8]| -> Session {
        let mut b = Session::builder(&environment)
            .unwrap()
            .with_intra_threads(number("threads", 1))
            .unwrap()
            .with_intra_op_spinning(number("spin", 0) == 1)
            .unwrap()
            .with_memory_pattern(number("pattern", 0) == 1)
            .unwrap()
            .with_optimization_level(match number("opt", 3) {
                0 => GraphOptimizationLevel::Disable,
                1 => GraphOptimizationLevel::Level1,
                2 => GraphOptimizationLevel::Level2,
                _ => GraphOptimizationLevel::All,
            })
            .unwrap()
            .with_execution_providers([ep::CPU::default()
                .with_arena_allocator(arena != "off")
                .build()
                .error_on_failure()])
            .unwrap();
        if number("ftz", 0) == 1 {
            b = b.with_flush_to_zero().unwrap();
        }
        if number("prepacked", 1) == 1 {
            b = b.with_prepacked_weights(&prepacked).unwrap();
        }
        if number("device_init", 0) == 1 {
            b = b.with_device_allocated_initializers().unwrap();
        }
        if arena == "shared" || arena == "same" {
            b = b.with_env_allocators().unwrap();
        }
        b.commit_from_memory(bytes).unwrap()
    };
    if number("ctc", 0) == 1 {
        bytes.extend(lector_inference::ctc::tail("fetch_name_0"));
    }
    let started = Instant::now();
    let built: Vec<Session> = (0..sessions).map(|_| build(&bytes)).collect();
    let build_ms = started.elapsed().as_secs_f64() * 1e3;
    drop(bytes);
    let loaded_mib = status_mib("VmRSS");

    let barrier = Arc::new(Barrier::new(sessions + 1));
    let rows: usize = shapes.iter().map(|s| s[0]).sum::<usize>() * turns * sessions;
    let outputs: Vec<&str> = if number("ctc", 0) == 1 { vec!["ids", "confidence"] } else { vec![] };
    let shrink = arena == "shrink";
    let (wall, cpu) = std::thread::scope(|scope| {
        let handles: Vec<_> = built
            .into_iter()
            .map(|mut session| {
                let (barrier, shapes, outputs) = (barrier.clone(), &shapes, &outputs);
                scope.spawn(move || {
                    let inputs: Vec<Vec<f32>> = shapes.iter().map(|shape| page_like(*shape)).collect();
                    let mut options = RunOptions::new().unwrap();
                    if shrink {
                        options.set("memory.enable_memory_arena_shrinkage", "cpu:0").unwrap();
                    }
                    let all: Vec<String> = session.outputs().iter().map(|o| o.name().to_owned()).collect();
                    let names: Vec<&str> = if outputs.is_empty() {
                        all.iter().map(String::as_str).collect()
                    } else {
                        outputs.clone()
                    };
                    let selector = names.iter().fold(OutputSelector::no_default(), |s, n| s.with(*n));
                    let options = options.with_outputs(selector);
                    let turn = |session: &mut Session| {
                        for (shape, data) in shapes.iter().zip(&inputs) {
                            let tensor = TensorRef::from_array_view((*shape, data.as_slice())).unwrap();
                            session.run_with_options(ort::inputs![tensor], &options).unwrap();
                        }
                    };
                    turn(&mut session);
                    barrier.wait();
                    (0..turns).for_each(|_| turn(&mut session));
                    barrier.wait();
                    barrier.wait();
                })
            })
            .collect();
        barrier.wait();
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        barrier.wait();
        let figures = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let rss = status_mib("VmRSS");
        barrier.wait();
        handles.into_iter().for_each(|h| h.join().unwrap());
        println!(
            "{:<70} build {build_ms:6.0} ms  {:7.2} rows/s  wall {:7.1} ms/row  cpu {:7.1} ms/row  rss loaded {loaded_mib:5.0} after {rss:5.0} peak {:5.0} MiB",
            args.iter().skip(3).cloned().collect::<Vec<_>>().join(" "),
            rows as f64 / figures.0,
            figures.0 / rows as f64 * 1e3,
            figures.1 / rows as f64 * 1e3,
            status_mib("VmHWM"),
        );
        figures
    });
    let _ = (wall, cpu);
}

/// Registers one arena for all sessions of the process.
fn register_arena(environment: &ort::environment::Environment, same_as_requested: bool) {
    let info = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::Default).unwrap();
    let mut config = std::ptr::null_mut();
    let strategy = if same_as_requested { 1 } else { -1 };
    // SAFETY: the out pointer is valid; the environment and the memory info outlive the calls; ORT copies the
    // configuration, which is released once.
    unsafe {
        let api = ort::api();
        assert!((api.CreateArenaCfg)(0, strategy, -1, -1, &mut config).0.is_null());
        let status = (api.CreateAndRegisterAllocator)(environment.ptr().cast_mut(), info.ptr(), config);
        assert!(status.0.is_null());
        (api.ReleaseArenaCfg)(config);
    }
}
