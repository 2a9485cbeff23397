//! The lifecycle of workers: crashes, hangs, callers that go away, failed starts.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use lector_core::Kind;
use lector_document::{DocumentError, DocumentWorkers, WorkerTask, WorkersStatus};

use crate::builder::{endless, hello};
use crate::support::{PIXELS_MAX, TestServer, code, config};

fn kill(pid: u32) {
    // SAFETY: plain numbers; the process is a child of this test.
    assert_eq!(unsafe { libc::kill(i32::try_from(pid).unwrap(), libc::SIGKILL) }, 0);
}

#[tokio::test]
async fn a_killed_worker_costs_one_page_one_fault() {
    let mut server = TestServer::start(2).await;
    let other = server.page(&hello()).await;
    let slow = server.page(&endless()).await;
    let rendering = tokio::spawn(async move { slow.render(72.0, PIXELS_MAX).await });
    // The other document's pages continue while the slow one runs, on either worker.
    let busy = server.rendering().await;
    other.render(72.0, PIXELS_MAX).await.unwrap();
    assert_eq!((server.workers.status().rendering(), rendering.is_finished()), (vec![busy], false));
    kill(busy);
    assert_eq!(code(rendering.await.unwrap()), "page_render_crashed");
    other.render(72.0, PIXELS_MAX).await.unwrap();
    // The worker supervisor counts a replacement when it is ready, which may be after the other page.
    let status = server.until("the worker is replaced", |status| status.respawns > 0).await;
    assert_eq!((status.crashes, status.timeouts, status.respawns), (1, 0, 1));
    server.settle().await;
    assert!(!server.workers.status().pids().contains(&busy));
    server.end().await;
}

#[tokio::test]
async fn the_status_shows_the_task_of_each_worker() {
    let server = TestServer::start(2).await;
    let (good, slow) = (server.page(&hello()).await, server.page(&endless()).await);
    good.render(72.0, PIXELS_MAX).await.unwrap();
    let idle = server.until("the workers are idle", |status| status.idle == 2).await;
    assert_eq!(idle.processes.len(), 2, "{idle:?}");
    assert!(idle.processes.iter().all(|process| process.task.is_none()), "{idle:?}");
    let rendering = tokio::spawn(async move { slow.render(72.0, PIXELS_MAX).await });
    let pid = server.rendering().await;
    let status = server.workers.status();
    let tasks: Vec<_> = status.processes.iter().filter_map(|p| Some((p.pid, p.task?))).collect();
    // Documents are numbered from 1; this one is the second.
    assert_eq!(tasks, [(pid, WorkerTask::Render { document: 2, page: 0 })]);
    rendering.abort();
    server.until("the worker is replaced", |status| status.respawns == 1).await;
    let none = |status: &WorkersStatus| status.processes.iter().all(|process| process.task.is_none());
    server.until("nothing is being answered", none).await;
    server.end().await;
}

/// Returns the process state as the kernel's letter: R running, S sleeping, Z dead and not reaped; X: no such process.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next()).unwrap_or('X')
}

#[tokio::test]
async fn a_page_that_hangs_is_ended_and_its_neighbors_wait_no_longer_than_that() {
    // Long enough for the good page on a busy machine; the other one never ends.
    let limit = Duration::from_secs(3);
    let server =
        TestServer::with(lector_document::DocumentConfig { render_timeout: limit, ..config(1) }).await;
    let slow = server.page(&endless()).await;
    let good = server.page(&hello()).await;
    let (slow, good) = tokio::join!(slow.render(72.0, PIXELS_MAX), good.render(72.0, PIXELS_MAX));
    assert_eq!(code(slow), "page_render_timeout");
    // With one worker, the good page waits for the end of the other one, and is then rendered.
    good.unwrap();
    assert_eq!(server.workers.status().timeouts, 1);
    server.end().await;
}

#[tokio::test]
async fn a_worker_is_replaced_before_it_reads_the_document_of_another_tenant() {
    let mut server = TestServer::start(1).await;
    server.settle().await;
    let first = server.pids[0];
    let page = server.open_for("a", &hello()).await.page(0).await.unwrap();
    server.open_for("a", &hello()).await;
    assert_eq!(server.workers.status().pids(), [first], "one tenant, one process");
    server.open_for("b", &hello()).await;
    server.settle().await;
    let second = server.workers.status().pids();
    assert_ne!(second, [first]);
    assert_eq!(state(first), 'X', "the process of the other tenant has ended");
    // The first document is opened again, in a third process.
    page.render(72.0, PIXELS_MAX).await.unwrap();
    let status = server.workers.status();
    assert_ne!(status.pids(), second);
    assert_eq!((status.recycled, status.respawns, status.crashes), (2, 0, 0));
    server.end().await;
}

#[tokio::test]
async fn a_page_that_computes_too_long_is_ended() {
    let limit = Duration::from_millis(500);
    let server = TestServer::with(lector_document::DocumentConfig { page_cpu: limit, ..config(1) }).await;
    let slow = server.page(&endless()).await;
    assert_eq!(code(slow.render(72.0, PIXELS_MAX).await), "page_cpu_exceeded");
    assert_eq!(server.workers.status().timeouts, 1);
    server.end().await;
}

#[tokio::test]
async fn a_document_that_costs_too_many_workers_is_given_up() {
    let limit = Duration::from_millis(30);
    let server =
        TestServer::with(lector_document::DocumentConfig { render_timeout: limit, ..config(1) }).await;
    let slow = server.page(&endless()).await;
    let mut codes = Vec::new();
    for _ in 0..17 {
        codes.push(code(slow.render(72.0, PIXELS_MAX).await));
    }
    assert_eq!(codes.iter().filter(|code| **code == "page_render_timeout").count(), 16);
    assert_eq!(codes.last(), Some(&"document_abandoned"));
    // (Not rendered: 30 ms may be too short for any page on a busy machine.)
    server.page(&hello()).await.text_layer().await.unwrap();
    server.end().await;
}

#[tokio::test]
async fn a_worker_found_dead_causes_no_fault() {
    let mut server = TestServer::start(1).await;
    let page = server.page(&hello()).await;
    for _ in 0..3 {
        server.settle().await;
        let pid = server.workers.status().pids()[0];
        kill(pid);
        // Dead, and not reaped before its worker supervisor checks it.
        while !matches!(state(pid), 'Z' | 'X') {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        page.render(72.0, PIXELS_MAX).await.unwrap();
    }
    assert_eq!(server.workers.status().crashes, 0);
    server.end().await;
}

#[tokio::test]
async fn a_caller_that_goes_leaves_a_usable_worker() {
    let server = TestServer::start(1).await;
    let (slow, good) = (server.page(&endless()).await, server.page(&hello()).await);
    let begun = {
        let slow = slow.clone();
        tokio::spawn(async move { slow.render(72.0, PIXELS_MAX).await })
    };
    server.rendering().await;
    let waiting: Vec<_> = (0..2).map(|_| slow.render(72.0, PIXELS_MAX)).collect();
    // Polling once queues them; then their callers go away, as the first one does.
    for mut waiting in waiting {
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    assert_eq!(server.workers.status().queued, 2);
    begun.abort();
    // The first one is cut off after the grace period and not after the minute that a rendering may take; the two
    // behind it are never begun.
    good.render(72.0, PIXELS_MAX).await.unwrap();
    let status = server.workers.status();
    assert_eq!((status.crashes, status.timeouts, status.respawns), (0, 0, 1));
    server.end().await;
}

#[tokio::test]
async fn more_documents_than_a_worker_holds_are_opened_again_as_needed() {
    let server = TestServer::start(2).await;
    let mut pages = Vec::new();
    for _ in 0..30 {
        pages.push(server.page(&hello()).await);
    }
    for round in 0..3 {
        let renders = pages.iter().map(|page| page.render(36.0, PIXELS_MAX));
        for result in futures::future::join_all(renders).await {
            assert_eq!(result.unwrap().size().width, 150, "round {round}");
        }
    }
    assert_eq!(server.workers.status().respawns, 0);
    server.end().await;
}

#[tokio::test]
async fn failed_starts_state_what_to_do() {
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
async fn stopping_ends_waiting_and_running_requests() {
    let server = TestServer::start(1).await;
    let slow = server.page(&endless()).await;
    let (workers, pids) = (server.workers.clone(), server.pids.clone());
    let page = slow.clone();
    let running = tokio::spawn(async move { page.render(72.0, PIXELS_MAX).await });
    let page = slow.clone();
    let waiting = tokio::spawn(async move { page.render(72.0, PIXELS_MAX).await });
    server.until("one renders and one waits", |s| s.rendering().len() == 1 && s.queued == 1).await;
    workers.shutdown().await;
    assert_eq!(workers.status().timeouts, 0, "the rendering was cut off, and not waited for");
    for result in [running.await.unwrap(), waiting.await.unwrap(), slow.render(72.0, PIXELS_MAX).await] {
        let fault = result.err().unwrap();
        assert_eq!((fault.code, fault.kind), ("documents_unavailable", Kind::Unavailable));
    }
    assert_eq!(state(pids[0]), 'X');
    drop(Arc::clone(&workers));
}
