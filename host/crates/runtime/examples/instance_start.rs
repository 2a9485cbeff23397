//! Prints the cost of starting and calling a guest:
//! `cargo run --release -p lector-runtime --example instance_start [COMPONENT.wasm]` (default: the echo guest).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../../../tests/src/quantile.rs"]
mod quantile;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lector_core::port::{PageInfo, PageKind, WorkDone, WorkItem};
use lector_core::{
    Budget, CallCtx, Engines, Fault, Image, Kind, ModelInfo, ModelName, PageRequest, PageSource, TextLayer,
};
use lector_runtime::{Runtime, RuntimeConfig};
use quantile::quantile;

struct Nothing;

impl Engines for Nothing {
    fn model(&self, _: &ModelName) -> Option<Arc<ModelInfo>> {
        None
    }
    fn prepare(&self, _: Vec<ModelName>) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(async { Ok(()) })
    }

    fn retain(&self, _: Vec<ModelName>) -> BoxFuture<'static, Vec<ModelName>> {
        Box::pin(async { Vec::new() })
    }

    fn infer(&self, _: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>> {
        async { Err(Fault::new(Kind::Unavailable, "none", "no engines here")) }.boxed()
    }
}

impl PageSource for Nothing {
    fn info(&self) -> PageInfo {
        PageInfo { index: 0, kind: PageKind::Pdf, width_pt: 595.0, height_pt: 842.0, native_dpi: None }
    }
    fn text_layer(&self) -> BoxFuture<'static, Result<TextLayer, Fault>> {
        async { Ok(TextLayer::default()) }.boxed()
    }
    fn render(&self, _: f32, _: u64) -> BoxFuture<'static, Result<Image, Fault>> {
        async { Err(Fault::new(Kind::Unavailable, "none", "no pages here")) }.boxed()
    }
}

fn call(settings: &str) -> CallCtx {
    let budget = Budget { host_calls: 1_000_000, compute: Duration::from_secs(60), ..Budget::default() };
    CallCtx { budget, ..CallCtx::new("t", settings, Instant::now() + Duration::from_secs(600)) }
}

fn report(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| quantile(&times, share);
    println!("{name:<44} median {:>8.2} us   p95 {:>8.2} us   (n {})", at(0.5), at(0.95), times.len());
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../guest/target/components/echo.wasm").to_owned()
    });
    let wasm = std::fs::read(&path).unwrap();
    let dir = std::env::temp_dir().join(format!("lector-instance-start-{}", std::process::id()));
    let config = RuntimeConfig { code_cache_dir: Some(dir.clone()), ..RuntimeConfig::default() };
    let began = Instant::now();
    let runtime = Runtime::new(config, Arc::new(Nothing)).unwrap();
    println!("runtime start {:?}", began.elapsed());
    for name in ["cold", "from the code cache"] {
        let began = Instant::now();
        runtime.load(wasm.clone(), &"t".into()).await.unwrap();
        println!("load, {name}: {:?} ({} bytes of wasm)", began.elapsed(), wasm.len());
    }
    let guest = runtime.load(wasm, &"t".into()).await.unwrap();
    let page: Arc<dyn PageSource> = Arc::new(Nothing);
    let (mut start, mut total, mut computed) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..3000 {
        let ctx = call("{}");
        let began = Instant::now();
        let run = guest.recognize(&ctx, page.clone(), PageRequest::default()).await;
        let took = began.elapsed();
        if turn >= 200 {
            let us = |time: Duration| time.as_secs_f64() * 1e6;
            start.push(us(run.timing.start));
            computed.push(us(run.timing.guest));
            total.push(us(took));
        }
    }
    report("Store + instance", start);
    report("one recognize, in total", total);
    report("of this inside polls of the guest", computed);
    // Host calls: the echo guest requests its page's index until the host ends it at a million calls.
    let began = Instant::now();
    let run = guest.recognize(&call(r#"{"mood": "pester"}"#), page, PageRequest::default()).await;
    if run.timing.host_calls > 1000 {
        let each = began.elapsed().as_secs_f64() * 1e9 / run.timing.host_calls as f64;
        println!("host call: {each:.0} ns (over {} calls)", run.timing.host_calls);
    }
    println!("{:?}", runtime.status());
    let _ = std::fs::remove_dir_all(dir);
}
