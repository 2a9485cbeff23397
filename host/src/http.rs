//! The gateway: HTTP in front of the control plane and the document service.
//!
//! Owns everything that HTTP is: connections, routes, requests and their limits, the shape of answers, the
//! translation of faults. The only home of axum and hyper. Knows the control plane, the document service and the formats; knows no
//! engine, no renderer and no guest. Called by `app.rs`, which gives it a listener and the state.
//!
//! A request's way: `listen` takes the connection, `middleware` gives it an id, a span and a line in the log,
//! `router` finds the handler, `options` reads what is asked for, `body` and `upload` take the documents in,
//! `ocr` answers one as a whole, `batch` many as they are read. `problem` is how anything goes wrong.

mod auth;
mod batch;
mod body;
mod engines;
mod health;
mod json;
mod listen;
mod manage;
mod middleware;
mod ocr;
mod openapi;
mod options;
mod pieces;
mod problem;
mod router;
mod socket;
mod upload;

use std::sync::Arc;

use lector_control::ControlPlane;
use lector_serving::DocumentService;

use crate::config::HttpConfig;
use crate::metrics::Metrics;

pub use listen::{Drained, serve};

/// What every handler can reach.
#[derive(Clone)]
pub struct AppState {
    /// Tenants, keys, deployments.
    control: Arc<ControlPlane>,
    /// Where documents are read.
    service: Arc<DocumentService>,
    /// What operators see.
    metrics: Arc<Metrics>,
    /// The limits of this face.
    config: Arc<HttpConfig>,
}

impl AppState {
    /// The state of one gateway.
    pub fn new(service: Arc<DocumentService>, metrics: Arc<Metrics>, config: HttpConfig) -> Self {
        Self { control: service.control().clone(), service, metrics, config: Arc::new(config) }
    }
}
