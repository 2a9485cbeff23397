//! Failures of parts of the server; the server continues.

use std::time::Duration;

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, HANG, process};
use rustix::process::Signal;

#[tokio::test]
async fn killed_render_workers_are_replaced() {
    let gateway = Gateway::builder().with_tiny().start().await;
    let before = process::descendants(gateway.pid());
    assert!(!before.is_empty());
    for &pid in &before {
        process::signal(pid, Signal::KILL);
    }
    let bytes = pdf::document(&[PageSpec::a4(&["After the fall"])]);
    // The first responses may be page errors of workers that were killed; the service recovers by itself.
    let recovered = async {
        while gateway.ocr("application/pdf", bytes.clone(), "text_layer=never").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(HANG, recovered).await.expect("workers come back");
    assert!(!process::descendants(gateway.pid()).iter().any(|pid| before.contains(pid)));
}

#[tokio::test]
async fn workers_that_die_under_load_cost_only_their_pages() {
    let gateway = Gateway::builder().with_tiny().start().await;
    let pages = vec![PageSpec::a4(&["Some page of many"; 3]); 30];
    let load = gateway.batch(vec![("a.pdf".into(), pdf::document(&pages))], "text_layer=never");
    let killer = async {
        let mut killed = 0;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if let Some(&pid) = process::descendants(gateway.pid()).first() {
                process::signal(pid, Signal::KILL);
                killed += 1;
            }
        }
        killed
    };
    let (events, killed) = tokio::join!(load, killer);
    assert!(killed > 0, "no worker was killed");
    let end = events.last().unwrap();
    assert_eq!(end["event"], "end", "{end}");
    let (ok, failed) = (end["pages_ok"].as_u64().unwrap(), end["pages_failed"].as_u64().unwrap());
    assert_eq!(ok + failed, 30, "{end}");
    assert!(failed <= 10, "{end}");
}

#[tokio::test]
async fn files_and_memory_stay_flat() {
    let gateway = Gateway::builder().with_tiny().start().await;
    let bytes = pdf::document(&[PageSpec::a4(&["Round and round it goes"; 4])]);
    let round = async |n: usize| {
        for _ in 0..n {
            gateway.ocr("application/pdf", bytes.clone(), "text_layer=never").await.ok();
        }
    };
    round(10).await;
    let (fds, memory) = (process::fds(gateway.pid()), process::resident(gateway.pid()));
    round(40).await;
    let (fds_after, memory_after) = (process::fds(gateway.pid()), process::resident(gateway.pid()));
    assert!(fds_after <= fds + 4, "file descriptors: {fds} -> {fds_after}");
    assert!(memory_after < memory + (64 << 20), "resident bytes: {memory} -> {memory_after}");
}
