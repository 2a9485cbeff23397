//! Attacks on connections and bodies.

use std::sync::Arc;
use std::time::Duration;

use lector_tests::pdf;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::arena::{Arena, Attack};
use super::http2;

/// Interval between two bytes of a client that trickles.
const TRICKLE: Duration = Duration::from_millis(100);

/// Opens `count` connections, sends `head` on each, then single bytes until the attack is over. A closed connection is
/// opened again. Returns the connections opened.
async fn trickle(arena: Arc<Arena>, count: usize, head: Vec<u8>) -> u64 {
    let one = async |arena: Arc<Arena>, head: Vec<u8>| {
        let mut opened = 0_u64;
        while !arena.is_over() {
            let Ok(mut stream) = arena.connect().await else {
                tokio::time::sleep(TRICKLE).await;
                continue;
            };
            opened += 1;
            let mut sent = stream.write_all(&head).await;
            while sent.is_ok() && !arena.is_over() {
                tokio::time::sleep(TRICKLE).await;
                sent = stream.write_all(b"x").await;
            }
        }
        opened
    };
    let all = (0..count).map(|_| one(arena.clone(), head.clone()));
    futures::future::join_all(all).await.into_iter().sum()
}

fn post(arena: &Arena, path: &str, content_type: &str, length: usize) -> Vec<u8> {
    let method = if path.contains("/ocr") { "POST" } else { "PUT" };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n",
        arena.attacker
    )
    .into_bytes()
}

/// Returns the attacks on connections and bodies, each with its name.
pub fn attacks(arena: &Arc<Arena>) -> Vec<(&'static str, Attack)> {
    let form = "multipart/form-data; boundary=b";
    let head = b"GET / HTTP/1.1\r\nX-Slow: ".to_vec();
    let body = post(arena, "/api/v1/ocr", "application/pdf", 100_000);
    let declared = post(arena, "/api/v1/ocr", "application/pdf", 100 << 20);
    let part = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n%PDF";
    let batch = [post(arena, "/api/v1/ocr/batch", form, 1 << 20), part.to_vec()].concat();
    let part = b"--b\r\ncontent-disposition: form-data; name=\"component\"\r\n\r\n\0asm";
    let deploy = [post(arena, "/api/v1/deployments/slow", form, 1 << 20), part.to_vec()].concat();
    let trickled = |count: usize, head: Vec<u8>| Box::pin(trickle(arena.clone(), count, head)) as Attack;
    vec![
        ("slow heads", trickled(400, head)),
        ("slow bodies", trickled(64, body)),
        ("declared bytes", trickled(12, declared)),
        ("trickled batches", trickled(64, batch)),
        ("trickled deploys", trickled(4, deploy)),
        ("slow readers", Box::pin(slow_readers(arena.clone())) as Attack),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_bodies() {
    let arena = Arena::start().await;
    for (name, attack) in attacks(&arena) {
        arena.beside(name, attack).await;
    }
}

/// Asks for large answers and does not read them.
async fn slow_readers(arena: Arc<Arena>) -> u64 {
    let document = pdf::word_bomb(4, 60, 100);
    let head = post(&arena, "/api/v1/ocr?text_layer=only&words=true", "application/pdf", document.len());
    let mut held: Vec<TcpStream> = Vec::new();
    let mut attempts = 0;
    while !arena.is_over() {
        if held.len() < 16
            && let Ok(mut stream) = arena.connect().await
        {
            attempts += 1;
            let _ = stream.write_all(&[&head[..], &document].concat()).await;
            held.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    attempts
}

/// Returns the attacks by frames of HTTP/2, each with its name.
pub fn http2_attacks(arena: &Arc<Arena>) -> Vec<(&'static str, Attack)> {
    vec![
        ("h2 rapid reset", Box::pin(flood(arena.clone(), http2::rapid_reset)) as Attack),
        ("h2 CONTINUATION flood", Box::pin(flood(arena.clone(), http2::continuation)) as Attack),
        ("h2 window 0", Box::pin(http2_readers(arena.clone())) as Attack),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_floods() {
    let arena = Arena::start().await;
    for (name, attack) in http2_attacks(&arena) {
        arena.beside(name, attack).await;
    }
}

/// Sends the bytes of `frames` (for a block of stream ids) on 4 connections, and opens them again when the server
/// closes them. What the server sends is read and discarded.
async fn flood(arena: Arc<Arena>, frames: fn(u32) -> Vec<u8>) -> u64 {
    let one = async |arena: Arc<Arena>| {
        let mut sent = 0_u64;
        while !arena.is_over() {
            let Ok(stream) = arena.connect().await else { continue };
            let (mut read, mut write) = stream.into_split();
            let discard = tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                while read.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            });
            let mut open = write.write_all(&http2::preface(None)).await.is_ok();
            let mut block = 0;
            while open && !arena.is_over() {
                open = write.write_all(&frames(block)).await.is_ok();
                sent += 1;
                block += 1;
                // At most 1,000 blocks a second on each connection.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            discard.abort();
        }
        sent
    };
    futures::future::join_all((0..4).map(|_| one(arena.clone()))).await.into_iter().sum()
}

/// Requests the largest static answer on many streams with a receive window of 0.
async fn http2_readers(arena: Arc<Arena>) -> u64 {
    let mut held = Vec::new();
    let mut attempts = 0;
    while !arena.is_over() {
        if held.len() < 16
            && let Ok(mut stream) = arena.connect().await
        {
            let mut bytes = http2::preface(Some(0));
            for number in 0..64 {
                bytes.extend(http2::get(1 + 2 * number, "/openapi.json"));
                attempts += 1;
            }
            let _ = stream.write_all(&bytes).await;
            held.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    attempts
}

/// Opens 10,000 connections, or as many as the limit of open files of this process allows, and says how many.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections() {
    let arena = Arena::start().await;
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let wanted = usize::try_from(allowed.saturating_sub(500)).unwrap_or(usize::MAX).min(10_000);
    if wanted < 10_000 {
        eprintln!("only {wanted} connections of 10,000: this process may open {allowed} files (ulimit -n)");
    }
    let attack = {
        let arena = arena.clone();
        async move {
            let mut held = Vec::new();
            while !arena.is_over() || held.len() < wanted {
                match arena.connect().await {
                    // All at once stay open; later ones replace the oldest.
                    Ok(stream) if held.len() < wanted => held.push(stream),
                    _ => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
            held.len() as u64
        }
    };
    arena.beside("10,000 connections", attack).await;
    // Probes are answered meanwhile and afterwards.
    assert_eq!(arena.gateway.get("/healthz").await.status, 200);
}

/// A single address with every connection in a request: other addresses and probes are served.
#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_beyond_the_table() {
    let arena = Arena::start_with(|builder| {
        builder.set("http.connections_max", 8).set("http.connections_per_address_max", 8)
    })
    .await;
    let body = post(&arena, "/api/v1/ocr", "application/pdf", 100_000);
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = arena.connect().await.unwrap();
        stream.write_all(&body).await.unwrap();
        held.push(stream);
    }
    until_usage(&arena, "the table never became full", |status| status == 503).await;
    assert_eq!(arena.gateway.get("/healthz").await.status, 200);
    assert_eq!(arena.gateway.get("/readyz").await.status, 200);
    let refused = arena.gateway.get("/api/v1/usage").await;
    refused.problem(503, "connections_full");
    assert_eq!(refused.header("retry-after"), "1");
    drop(held);
    // The server learns of closed connections one after the other.
    until_usage(&arena, "the table stayed full", |status| status == 200).await;
    arena.victim().await;
}

/// Waits until the victim's question about its usage has such a status.
async fn until_usage(arena: &Arena, never: &str, is_it: impl Fn(u16) -> bool) {
    let end = std::time::Instant::now() + lector_tests::HANG;
    loop {
        let usage =
            arena.client.get(arena.gateway.url("/api/v1/usage")).bearer_auth(&arena.victim).send().await;
        let status = usage.map(|answer| answer.status().as_u16());
        if status.as_ref().is_ok_and(|status| is_it(*status)) {
            return;
        }
        assert!(std::time::Instant::now() < end, "{never}: {status:?}");
    }
}
