//! Pages through the lanes as a pipeline sends them: a detection, then the page's lines, several pages in flight.
//! Measures the inference plane alone: pages a second, CPU seconds a page, peak memory, queue waits.
//!
//! `lanes LIB MODELS_DIR key=value...` with `pages=16 in_flight=2 lines=40 batch=1 tier=small threads=2 det=1x2 rec=2x1
//! shared=1` (`det`, `rec`: sessions x threads).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "shared/measure.rs"]
mod measure;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use lector_core::port::{Scheduling, WorkItem};
use lector_core::{Engines, Tensor, TensorData};
use lector_inference::{Inference, InferenceConfig, SessionConfig};
use measure::{cpu_seconds, page_like, status_mib};

/// Widths of the lines of a page, repeated: titles, full lines, cells of tables. Mean 590 px at 48 rows.
const WIDTHS: [usize; 10] = [320, 960, 960, 192, 960, 192, 1024, 256, 896, 128];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (library, models) = (args.get(1).expect("LIB MODELS_DIR"), args.get(2).expect("LIB MODELS_DIR"));
    let options: BTreeMap<&str, &str> = args.iter().skip(3).filter_map(|a| a.split_once('=')).collect();
    let number = |key: &str, default: usize| options.get(key).map_or(default, |v| v.parse().expect("number"));
    let tier = options.get("tier").unwrap_or(&"small");
    let (det, rec) = (format!("pp-ocrv6-{tier}-det"), format!("pp-ocrv6-{tier}-rec"));

    let mut config = InferenceConfig::new(library, models, number("threads", 2));
    config.shared_arena = number("shared", usize::from(config.shared_arena)) == 1;
    for (key, session_config) in [("det", &mut config.plan.detection), ("rec", &mut config.plan.recognition)]
    {
        if let Some((sessions, threads)) = options.get(key).and_then(|v| v.split_once('x')) {
            *session_config =
                SessionConfig { sessions: sessions.parse().unwrap(), threads: threads.parse().unwrap() };
        }
    }
    let started = Instant::now();
    let inference = Inference::start(config).expect("start");
    inference.open(&[det.as_str().into(), rec.as_str().into()]).expect("open");
    let start_ms = started.elapsed().as_millis();

    let tensor = |shape: [usize; 4]| Tensor::new(&shape, TensorData::F32(page_like(shape))).unwrap();
    let batch = number("batch", 1);
    let pages = [tensor([1, 3, 1280, 960]), tensor([1, 3, 960, 1280]), tensor([1, 3, 1280, 896])];
    let lines: Vec<Tensor> = WIDTHS.iter().map(|&width| tensor([batch, 3, 48, width])).collect();
    let run = |model: &str, input: &Tensor, outputs: &[&str]| {
        inference.infer(WorkItem {
            model: model.into(),
            tenant: "bench".into(),
            inputs: vec![("x".to_owned(), input.clone())],
            outputs: outputs.iter().map(|o| (*o).to_owned()).collect(),
            deadline: Instant::now() + Duration::from_secs(600),
            scheduling: Scheduling::default(),
        })
    };
    let page = |n: usize| {
        block_on(run(&det, &pages[n % pages.len()], &["fetch_name_0"])).unwrap();
        let runs = (0..number("lines", 40) / batch)
            .map(|i| run(&rec, &lines[i % lines.len()], &["ids", "confidence"]));
        join_all(runs.collect::<Vec<_>>().into_iter().map(|r| async { r.await.map(drop).unwrap() }))
    };
    block_on(page(0));
    let (total, next) = (number("pages", 16), AtomicUsize::new(0));
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    std::thread::scope(|scope| {
        for _ in 0..number("in_flight", 2) {
            scope.spawn(|| {
                while let n = next.fetch_add(1, Ordering::Relaxed)
                    && n < total
                {
                    block_on(page(n));
                }
            });
        }
    });
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{:<60} start {start_ms} ms  {:.3} pages/s  {:.3} s wall/page  {:.3} s cpu/page  rss {:.0} peak {:.0} MiB",
        args.iter().skip(3).cloned().collect::<Vec<_>>().join(" "),
        total as f64 / wall,
        wall / total as f64,
        cpu / total as f64,
        status_mib("VmRSS"),
        status_mib("VmHWM"),
    );
    for lane in inference.lanes() {
        let mean = |sum: Duration, count: u64| sum.as_secs_f64() * 1e3 / count.max(1) as f64;
        println!(
            "  {:<20} {}x{}: {} runs, mean {:.1} ms, wait {:.1} ms",
            lane.model,
            lane.sessions,
            lane.threads_per_session,
            lane.runs,
            mean(lane.busy, lane.runs),
            mean(lane.queue_wait.sum, lane.runs),
        );
    }
    Arc::clone(&inference).shutdown();
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
