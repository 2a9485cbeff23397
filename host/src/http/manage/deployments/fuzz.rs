//! Fuzz test of the body of a deploy: a form, JSON, or a component.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Request};

use super::*;
use crate::config::Rate;
use crate::http::body::BodyLimits;

const FORM: &str = "multipart/form-data; boundary=b";

struct Unlimited;

impl ByteBudget for Unlimited {
    async fn arrived(&mut self, _: u64) -> Result<(), Fault> {
        Ok(())
    }
}

/// What a body asks for, in a form that can be compared.
type Asked = Result<(String, Option<Vec<u8>>), &'static str>;

async fn all(content_type: &str, body: &[u8], chunk: usize) -> Asked {
    let late = Duration::from_secs(60);
    let limits = BodyLimits {
        bytes_max: DEPLOY_BYTES_MAX,
        idle_max: late,
        waits_max: late,
        until: Instant::now() + late,
        rate_min: Rate { bytes_per_s: 0, window: late },
    };
    let (parts, ()) = Request::builder().header("content-type", content_type).body(()).unwrap().into_parts();
    let chunks: Vec<_> =
        body.chunks(chunk).map(|part| Ok::<_, std::io::Error>(Bytes::copy_from_slice(part))).collect();
    let body = Body::from_stream(futures::stream::iter(chunks));
    let body = LimitedBody::new(&HeaderMap::new(), body, limits).unwrap();
    let mut received = Received { bytes: Unlimited, total: 0 };
    let (options, component) = read(&parts, body, &mut received).await.map_err(|fault| fault.code)?;
    options.destination().map_err(|fault| fault.code)?;
    Ok((format!("{options:?}"), component))
}

fn form(parts: &[(&str, &str)]) -> Vec<u8> {
    let part = |(name, text): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    };
    format!("F{}--b--\r\n", parts.iter().map(part).collect::<String>()).into_bytes()
}

/// The result does not depend on the chunks of the body; bytes of a component are those of the body.
#[test]
fn fuzz_deploys() {
    let options =
        r#"{"promote":true,"rollback_policy":{"pages_min":3},"grants":{"a":"b"},"budget":{"wall_ms":5}}"#;
    let seeds = [
        form(&[("options", options), ("component", "\0asm"), ("settings", r#"{"a":[1]}"#), ("wraps", "d")]),
        form(&[("component", "x")]),
        [b"J", options.as_bytes()].concat(),
        br#"J{"canary":5,"settings":{},"expected_revision":0}"#.to_vec(),
        b"W\0asm".to_vec(),
    ];
    let words: [&[u8]; 14] = [
        b"--b",
        b"\r\n",
        b"--b--\r\n",
        b"Content-Disposition: form-data; ",
        b"name=\"options\"",
        b"name=\"settings\"",
        b"name=\"component\"",
        b"\"canary\":",
        b"\"shadow\":100",
        b"null",
        b"[]",
        b"-1",
        b"\xff",
        b"{}",
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    lector_fuzz::target("deploys", &seeds, &words, |input| {
        let (kind, body) = input.split_first().unwrap_or((&b'F', &[]));
        let content_type = match kind {
            b'J' => "application/json",
            b'W' => "application/wasm",
            _ => FORM,
        };
        let whole = runtime.block_on(all(content_type, body, body.len().max(1)));
        let pieces = runtime.block_on(all(content_type, body, 7));
        assert!(pieces == whole || pieces.is_err() && whole.is_err(), "{pieces:?} in pieces, {whole:?}");
        whole.map(|(_, component)| {
            component
                .map(|bytes| {
                    assert!(body.windows(bytes.len().max(1)).any(|part| part == bytes) || bytes.is_empty());
                })
                .is_some()
        })
    });
}
