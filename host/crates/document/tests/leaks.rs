//! Checks that no descriptors, threads, processes or shared memory are left. A separate binary, because it counts the
//! resources of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, dead_code)]

#[path = "document/builder.rs"]
mod builder;
#[path = "document/support.rs"]
mod support;

use std::time::{Duration, Instant};

use lector_document::DocumentConfig;
use support::{HANG, PIXELS_MAX, TestServer, code, config};

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn children() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.map(|list| list.split_whitespace().count()).sum()
}

#[test]
fn crashes_timeouts_and_departures_leave_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Opens the runtime's own resources first.
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
    let before = (count("/proc/self/fd"), count("/proc/self/task"), children());
    runtime.block_on(async {
        let limit = Duration::from_millis(100);
        let mut server = TestServer::with(DocumentConfig { render_timeout: limit, ..config(2) }).await;
        for round in 0..20 {
            let page = server.page(&builder::hello()).await;
            // On a busy machine it may not finish in time, which is one more timeout.
            let outcome = code(page.render(72.0, PIXELS_MAX).await);
            assert!(matches!(outcome, "no fault" | "page_render_timeout"), "{outcome}");
            let slow = server.page(&builder::endless()).await;
            if round % 2 == 0 {
                assert!(slow.render(72.0, PIXELS_MAX).await.is_err());
            } else {
                let _ = tokio::time::timeout(limit / 4, slow.render(72.0, PIXELS_MAX)).await;
            }
            assert!(server.open(b"%PDF-1.7 nonsense").await.is_err());
        }
        server.settle().await;
        // The last rendering, whose caller went away, has been cut off.
        server.until("both workers are idle", |status| status.idle == 2).await;
        // The documents are dropped, so the workers hold none and the host holds no shared memory.
        let held = count("/proc/self/fd") - before.0;
        assert!(held <= 4, "{held} descriptors for two workers");
        server.end().await;
    });
    // A thread that has ended stays listed for a moment.
    let deadline = Instant::now() + HANG;
    let count_all = || (count("/proc/self/fd"), count("/proc/self/task"), children());
    while count_all() != before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(count_all(), before, "descriptors, threads, children");
}
