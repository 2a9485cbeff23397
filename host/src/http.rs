//! The gateway: HTTP in front of the platform.
//!
//! Owns everything that HTTP is: connections, routes, requests and their limits, the shape of answers, the
//! translation of faults. The only home of axum and hyper. Knows the platform and the formats; knows no
//! engine, no renderer and no guest. Called by `app.rs`, which gives it a listener and the state.
//!
//! A request's way: `listen` takes the connection, `frame` gives it an id, a span and a line in the log,
//! `router` finds the handler, `options` reads what is asked for, `body` and `upload` take the documents in,
//! `ocr` answers one as a whole, `batch` many as they are read. `problem` is how anything goes wrong.

mod auth;
mod batch;
mod body;
mod describe;
mod engines;
mod frame;
mod health;
mod json;
mod listen;
mod manage;
mod ocr;
mod options;
mod pieces;
mod problem;
mod router;
mod socket;
mod upload;

use std::sync::Arc;

use lector_platform::Platform;

use crate::config::HttpConfig;
use crate::metrics::Metrics;

pub use listen::{Drained, serve};

/// What every handler can reach.
#[derive(Clone)]
pub struct AppState {
    /// Where documents are read.
    platform: Arc<Platform>,
    /// What operators see.
    metrics: Arc<Metrics>,
    /// The limits of this face.
    config: Arc<HttpConfig>,
}

impl AppState {
    /// The state of one gateway.
    pub fn new(platform: Arc<Platform>, metrics: Arc<Metrics>, config: HttpConfig) -> Self {
        Self { platform, metrics, config: Arc::new(config) }
    }
}
