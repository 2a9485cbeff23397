//! The life of workers: crashes, hangs, callers that go, start-up that fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::Kind;
use lector_document::{DocumentError, DocumentWorkers};

use crate::builder::{endless, hello};
use crate::support::{House, PIXELS_MAX, code, config};

fn kill(pid: u32) {
    // SAFETY: plain numbers; the process is a child of this test.
    assert_eq!(unsafe { libc::kill(i32::try_from(pid).unwrap(), libc::SIGKILL) }, 0);
}

#[tokio::test]
async fn a_killed_worker_costs_one_page_one_fault() {
    let mut house = House::start(2).await;
    let neighbour = house.page(&hello()).await;
    let slow = house.page(&endless()).await;
    let rendering = tokio::spawn(async move { slow.render(72.0, PIXELS_MAX).await });
    // The neighbour's pages go on while the slow one runs, whichever worker has what.
    neighbour.render(72.0, PIXELS_MAX).await.unwrap();
    // Whose computing grows is the one: what it is doing in any one moment says little on a busy machine.
    let before: Vec<u64> = house.pids.iter().map(|pid| ticks(*pid)).collect();
    let grown = || house.pids.iter().zip(&before).map(|(pid, before)| ticks(*pid).saturating_sub(*before));
    let end = Instant::now() + Duration::from_secs(10);
    while grown().all(|ticks| ticks < 5) && Instant::now() < end && !rendering.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let busy: Vec<u32> = house
        .pids
        .iter()
        .copied()
        .zip(grown())
        .filter(|(_, ticks)| *ticks >= 5)
        .map(|(pid, _)| pid)
        .collect();
    assert_eq!((busy.len(), rendering.is_finished()), (1, false), "one worker computes");
    kill(busy[0]);
    assert_eq!(code(rendering.await.unwrap()), "page_render_crashed");
    neighbour.render(72.0, PIXELS_MAX).await.unwrap();
    house.settle().await;
    // The keeper counts a replacement when it stands, which may be after the neighbour's page.
    let end = Instant::now() + Duration::from_secs(10);
    while house.workers.status().respawns == 0 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let status = house.workers.status();
    assert_eq!((status.crashes, status.timeouts, status.respawns), (1, 0, 1));
    house.end().await;
}

/// Hundredths of a second for which the process has computed; proc(5).
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // The state is field 3; user and system time are fields 14 and 15.
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// In the kernel's letters: R runs, S sleeps, Z is dead and not reaped; X where there is no process.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next()).unwrap_or('X')
}

#[tokio::test]
async fn a_page_that_hangs_is_ended_and_its_neighbours_wait_no_longer_than_that() {
    let limit = Duration::from_millis(300);
    let house = House::with(lector_document::DocumentConfig { render_timeout: limit, ..config(1) }).await;
    let slow = house.page(&endless()).await;
    let good = house.page(&hello()).await;
    let began = Instant::now();
    let (slow, good) = tokio::join!(slow.render(72.0, PIXELS_MAX), good.render(72.0, PIXELS_MAX));
    assert_eq!(code(slow), "page_render_timeout");
    good.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    assert_eq!(house.workers.status().timeouts, 1);
    house.end().await;
}

#[tokio::test]
async fn a_document_that_costs_too_many_workers_is_given_up() {
    let limit = Duration::from_millis(30);
    let house = House::with(lector_document::DocumentConfig { render_timeout: limit, ..config(1) }).await;
    let slow = house.page(&endless()).await;
    let mut codes = Vec::new();
    for _ in 0..17 {
        codes.push(code(slow.render(72.0, PIXELS_MAX).await));
    }
    assert_eq!(codes.iter().filter(|code| **code == "page_render_timeout").count(), 16);
    assert_eq!(codes.last(), Some(&"document_given_up"));
    house.page(&hello()).await.render(72.0, PIXELS_MAX).await.unwrap();
    house.end().await;
}

#[tokio::test]
async fn a_worker_found_dead_costs_nobody_a_fault() {
    let mut house = House::start(1).await;
    let page = house.page(&hello()).await;
    for _ in 0..3 {
        house.settle().await;
        let pid = house.workers.status().pids[0];
        kill(pid);
        // Dead, and not reaped before its keeper looks.
        while !matches!(state(pid), 'Z' | 'X') {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        page.render(72.0, PIXELS_MAX).await.unwrap();
    }
    assert_eq!(house.workers.status().crashes, 0);
    house.end().await;
}

#[tokio::test]
async fn a_caller_that_goes_leaves_a_usable_worker() {
    let house = House::start(1).await;
    let (slow, good) = (house.page(&endless()).await, house.page(&hello()).await);
    let began = Instant::now();
    for _ in 0..3 {
        let gone = tokio::time::timeout(Duration::from_millis(20), slow.render(72.0, PIXELS_MAX)).await;
        assert!(gone.is_err());
    }
    // The first is cut off after a second's grace; the two behind it are never begun.
    good.render(72.0, PIXELS_MAX).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    let status = house.workers.status();
    assert_eq!((status.crashes, status.timeouts, status.respawns), (0, 0, 1));
    house.end().await;
}

#[tokio::test]
async fn more_documents_than_a_worker_holds_are_opened_again_as_needed() {
    let house = House::start(2).await;
    let mut pages = Vec::new();
    for _ in 0..30 {
        pages.push(house.page(&hello()).await);
    }
    for round in 0..3 {
        let renders = pages.iter().map(|page| page.render(36.0, PIXELS_MAX));
        for result in futures::future::join_all(renders).await {
            assert_eq!(result.unwrap().size().width, 150, "round {round}");
        }
    }
    assert_eq!(house.workers.status().respawns, 0);
    house.end().await;
}

#[tokio::test]
async fn start_up_failures_say_what_to_do() {
    let missing = lector_document::DocumentConfig { pdfium_dir: "/nowhere".into(), ..config(1) };
    let error = DocumentWorkers::start(missing).await.err().unwrap();
    let text = error.to_string();
    assert!(text.contains("/nowhere/libpdfium.so") && text.contains("cargo xtask setup"), "{text}");

    let none = lector_document::DocumentConfig { worker_command: vec!["/bin/false".into()], ..config(2) };
    let error = DocumentWorkers::start(none).await.err().unwrap();
    assert!(matches!(error, DocumentError::NotReady { .. }), "{error}");
    let none =
        lector_document::DocumentConfig { worker_command: vec!["/no/such/program".into()], ..config(1) };
    assert!(matches!(DocumentWorkers::start(none).await.err(), Some(DocumentError::Spawn { .. })));
}

#[tokio::test]
async fn stopping_ends_what_waits_and_what_runs() {
    let house = House::start(1).await;
    let slow = house.page(&endless()).await;
    let (workers, pids) = (house.workers.clone(), house.pids.clone());
    let page = slow.clone();
    let running = tokio::spawn(async move { page.render(72.0, PIXELS_MAX).await });
    let page = slow.clone();
    let waiting = tokio::spawn(async move { page.render(72.0, PIXELS_MAX).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    workers.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(2), "took {:?}", began.elapsed());
    for result in [running.await.unwrap(), waiting.await.unwrap(), slow.render(72.0, PIXELS_MAX).await] {
        let fault = result.err().unwrap();
        assert_eq!((fault.code, fault.kind), ("documents_unavailable", Kind::Unavailable));
    }
    assert_eq!(state(pids[0]), 'X');
    drop(Arc::clone(&workers));
}
