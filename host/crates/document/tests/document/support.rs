//! Starts the document workers with the example worker, and checks for leftovers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::fair::Account;
use lector_core::port::DocumentHint;
use lector_core::{Documents, Fault, OpenDocument, PageSource};
use lector_document::{DocumentConfig, DocumentWorkers, WorkersStatus};

pub const PIXELS_MAX: u64 = 40_000_000;
/// Timeout of conditions, long enough for a busy machine.
pub const HANG: Duration = Duration::from_secs(50);

/// Returns the path of a program of this crate's `examples`, which cargo builds next to the tests.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = target.join("examples").join(name);
    assert!(program.is_file(), "no {program:?}: cargo builds it with the tests of the whole package");
    program
}

/// Returns the folder of downloaded files, as `cargo xtask setup` uses it.
pub fn cache() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from);
    from("LECTOR_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|cache| cache.join("lector")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/lector")))
        .unwrap()
}

/// The workers, and every process seen in them. `end` asserts that none is left.
pub struct TestServer {
    pub workers: Arc<DocumentWorkers>,
    pub pids: Vec<u32>,
}

pub fn config(workers: usize) -> DocumentConfig {
    let pdfium_dir = cache().join("lib/pdfium-8149");
    assert!(
        pdfium_dir.join("libpdfium.so").is_file(),
        "no pdfium in {pdfium_dir:?}: run `cargo xtask setup`"
    );
    DocumentConfig {
        pdfium_dir,
        worker_command: vec![example("render_worker").into()],
        workers,
        reserve_workers: 0,
        open_timeout: Duration::from_secs(50),
        text_timeout: Duration::from_secs(50),
        render_timeout: Duration::from_secs(60),
        open_cpu: Duration::from_secs(600),
        page_cpu: Duration::from_secs(600),
        sandbox: lector_sandbox::Policy::Warn,
        worker_memory_bytes: 1 << 30,
        image_pixels_max: 100_000_000,
        pages_max: 2_000,
        text_characters_max: 250_000,
        text_words_max: 60_000,
    }
}

/// Returns the account of all documents in the tests.
fn account() -> Account {
    Account::new("tenant".into(), 1)
}

impl TestServer {
    pub async fn start(workers: usize) -> TestServer {
        Self::with(config(workers)).await
    }

    pub async fn with(config: DocumentConfig) -> TestServer {
        let workers = DocumentWorkers::start(config).await.unwrap();
        let pids = workers.status().pids();
        TestServer { workers, pids }
    }

    pub async fn open(&self, bytes: &[u8]) -> Result<Arc<dyn OpenDocument>, Fault> {
        self.workers.open(account(), Arc::new(bytes.to_vec()), DocumentHint::default()).await
    }

    /// Opens a document of a tenant.
    pub async fn open_for(&self, tenant: &str, bytes: &[u8]) -> Arc<dyn OpenDocument> {
        let account = Account::new(tenant.into(), 1);
        self.workers.open(account, Arc::new(bytes.to_vec()), DocumentHint::default()).await.unwrap()
    }

    pub async fn open_as(
        &self,
        bytes: &[u8],
        content_type: Option<&str>,
        password: Option<&str>,
    ) -> Result<Arc<dyn OpenDocument>, Fault> {
        let hint = DocumentHint {
            content_type: content_type.map(str::to_owned),
            password: password.map(str::to_owned),
        };
        self.workers.open(account(), Arc::new(bytes.to_vec()), hint).await
    }

    /// Opens a document and returns its first page; both must succeed.
    pub async fn page(&self, bytes: &[u8]) -> Arc<dyn PageSource> {
        self.open(bytes).await.unwrap().page(0).await.unwrap()
    }

    /// Waits for the configured number of living workers, and records their process ids.
    pub async fn settle(&mut self) {
        let deadline = Instant::now() + HANG;
        loop {
            let status = self.workers.status();
            self.pids.extend(status.pids());
            if status.alive == status.workers {
                return;
            }
            assert!(Instant::now() < deadline, "the workers are not replaced: {status:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until the status of the workers satisfies `wanted`.
    pub async fn until(&self, what: &str, wanted: impl Fn(&WorkersStatus) -> bool) -> WorkersStatus {
        let deadline = Instant::now() + HANG;
        loop {
            let status = self.workers.status();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "timeout while waiting until {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until exactly one worker renders a page, and returns its process id.
    pub async fn rendering(&self) -> u32 {
        self.until("one worker renders", |status| status.rendering().len() == 1).await.rendering()[0]
    }

    /// Ends the workers; every process that was ever seen must be gone and reaped.
    pub async fn end(mut self) {
        self.settle().await;
        self.workers.shutdown().await;
        for pid in self.pids {
            let left = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            assert!(!left.is_ok_and(|name| name.starts_with("render_worker")), "worker {pid} is left behind");
        }
    }
}

/// Returns the code of the fault that must have occurred.
pub fn code<T>(result: Result<T, Fault>) -> &'static str {
    match result {
        Ok(_) => "no fault",
        Err(fault) => {
            assert!(!fault.message.is_empty());
            fault.code
        }
    }
}

/// Skips a test without its files: prints the reason, or fails where the files are required.
pub fn skip(what: &str) {
    assert!(std::env::var_os("LECTOR_REQUIRE_CORPUS").is_none(), "{what}, and LECTOR_REQUIRE_CORPUS is set");
    eprintln!("SKIPPED: {what}");
}

/// Returns the folder of the corpus; prints a message and returns `None` where it is missing.
pub fn corpus() -> Option<PathBuf> {
    let cache = cache();
    let beside = cache.parent().map(|parent| parent.join("lector-corpus"));
    let found = [Some(cache.join("corpus")), beside].into_iter().flatten().find(|folder| folder.is_dir());
    if found.is_none() {
        skip(&format!("there is no corpus in {}", cache.join("corpus").display()));
    }
    found
}

/// Deterministic pseudo-random numbers (xorshift64*).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(value).unwrap() % below.max(1)
    }
}
