//! Fake engines and pages, and the loading of guests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lector_core::model::PortInfo;
use lector_core::port::{BatchComposition, PageInfo, PageKind, WorkDone, WorkItem};
use lector_core::{
    Budget, CallCtx, Dtype, Engines, Fault, Image, Kind, LineSource, ModelInfo, ModelName, PageSource, Rect,
    Size, TextLayer, TextSpan,
};
use lector_runtime::{Guest, Runtime, RuntimeConfig};

/// Longest wait for the end of a guest, also on a busy machine.
pub const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// Behavior of the fake model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    /// Returns its input.
    Echo,
    /// Never answers.
    Silent,
}

/// Fake engines with one model, `fake`: input `x` f32[-1, 4], output `y` the same.
pub struct FakeEngines {
    mood: Mood,
    pub offered: AtomicU32,
    /// Runs whose future was dropped before it gave an answer.
    pub withdrawn: Arc<AtomicU32>,
}

impl FakeEngines {
    pub fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self { mood, offered: AtomicU32::new(0), withdrawn: Arc::default() })
    }
}

impl Engines for FakeEngines {
    fn model(&self, name: &ModelName) -> Option<Arc<ModelInfo>> {
        let port = |name: &str| PortInfo { name: name.into(), dtype: Dtype::F32, shape: vec![-1, 4] };
        (name.as_str() == "fake").then(|| {
            Arc::new(ModelInfo {
                name: name.clone(),
                inputs: vec![port("x")],
                outputs: vec![port("y")],
                labels: Arc::from(["a".to_owned(), "b".to_owned()]),
                width_buckets: vec![4],
                max_batch: 8,
            })
        })
    }

    fn prepare(&self, _: Vec<ModelName>) -> BoxFuture<'static, Result<(), Fault>> {
        async { Ok(()) }.boxed()
    }

    fn retain(&self, _: Vec<ModelName>) -> BoxFuture<'static, Vec<ModelName>> {
        async { vec![] }.boxed()
    }

    fn infer(&self, item: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>> {
        struct Withdrawn(Option<Arc<AtomicU32>>);
        impl Drop for Withdrawn {
            fn drop(&mut self) {
                if let Some(count) = self.0.take() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        impl Withdrawn {
            fn answered(mut self) {
                self.0 = None;
            }
        }
        self.offered.fetch_add(1, Ordering::SeqCst);
        let mood = self.mood;
        let withdrawn = Withdrawn(Some(self.withdrawn.clone()));
        async move {
            if mood == Mood::Silent {
                std::future::pending::<()>().await;
            }
            withdrawn.answered();
            let outputs = item.inputs.into_iter().map(|(_, tensor)| tensor).collect();
            let (queue_wait, run) = (Duration::from_micros(3), Duration::from_micros(5));
            Ok(WorkDone {
                outputs,
                queue_wait,
                run,
                composition: BatchComposition::default(),
                variant: ("", ""),
            })
        }
        .boxed()
    }
}

/// An A4 page that renders as gray.
pub struct FakePage {
    pub index: u32,
    /// Fault of a rendering, if it fails.
    pub fault: Mutex<Option<Fault>>,
    pub renders: AtomicU32,
}

impl FakePage {
    pub fn new(index: u32) -> Arc<Self> {
        Arc::new(Self { index, fault: Mutex::new(None), renders: AtomicU32::new(0) })
    }

    pub fn broken(fault: Fault) -> Arc<Self> {
        Arc::new(Self { index: 0, fault: Mutex::new(Some(fault)), renders: AtomicU32::new(0) })
    }
}

impl PageSource for FakePage {
    fn info(&self) -> PageInfo {
        PageInfo {
            index: self.index,
            kind: PageKind::Pdf,
            width_pt: 595.0,
            height_pt: 842.0,
            native_dpi: None,
        }
    }

    fn text_layer(&self) -> BoxFuture<'static, Result<TextLayer, Fault>> {
        let span = TextSpan {
            text: "word".into(),
            area: Rect { x: 72.0, y: 72.0, width: 30.0, height: 12.0 },
            font_size: 12.0,
            visible: true,
            ends_line: true,
            source: LineSource::TextLayer,
        };
        async move { Ok(TextLayer { spans: vec![span], ..TextLayer::default() }) }.boxed()
    }

    fn render(&self, dpi: f32, pixels_max: u64) -> BoxFuture<'static, Result<Image, Fault>> {
        self.renders.fetch_add(1, Ordering::SeqCst);
        let fault = self.fault.lock().unwrap().clone();
        async move {
            if let Some(fault) = fault {
                return Err(fault);
            }
            let side = |points: f32| (points / 72.0 * dpi).round() as u32;
            let size = Size { width: side(595.0), height: side(842.0) };
            if size.pixels() > pixels_max {
                return Err(Fault::new(Kind::TooLarge, "page_too_many_pixels", "too many pixels"));
            }
            Ok(Image::from_rgb(size, vec![128; size.pixels() as usize * 3]).unwrap())
        }
        .boxed()
    }
}

pub fn runtime(engines: Arc<dyn Engines>) -> Arc<Runtime> {
    configured(RuntimeConfig::default(), engines)
}

/// Makes a runtime for few guests; its code cache is a folder shared by all tests of one build.
pub fn configured(config: RuntimeConfig, engines: Arc<dyn Engines>) -> Arc<Runtime> {
    let code_cache_dir =
        config.code_cache_dir.or_else(|| Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("code")));
    let config = RuntimeConfig { instances_max: 16, memory_bytes_max: 512 << 20, code_cache_dir, ..config };
    Runtime::new(config, engines).unwrap()
}

pub fn bytes(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../guest/target/components")
        .join(format!("{name}.wasm"));
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) if std::env::var_os("LECTOR_REQUIRE_GUESTS").is_some_and(|v| v == "1") => {
            panic!("{}: {error}; build it with `cargo xtask guests`", path.display())
        }
        Err(_) => {
            eprintln!("SKIPPED: no component {name}; build it with `cargo xtask guests`");
            None
        }
    }
}

pub async fn guest(runtime: &Arc<Runtime>, name: &str) -> Option<Arc<Guest>> {
    let wasm = bytes(name)?;
    Some(runtime.load(wasm, &"t".into()).await.unwrap())
}

/// Makes a call of tenant `t` with these settings, with a deadline that no busy machine reaches.
pub fn call(settings: &str, budget: Budget) -> CallCtx {
    CallCtx {
        deployment: "d".into(),
        request: "r-1".into(),
        grants: Arc::new(BTreeMap::from([
            ("model".to_owned(), ModelName::from("fake")),
            ("gone".to_owned(), ModelName::from("not-on-this-host")),
        ])),
        budget,
        ..CallCtx::new("t", settings, Instant::now() + Duration::from_secs(600))
    }
}
