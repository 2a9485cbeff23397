//! The state and the routes of the requests that begin now. A reload of the configuration replaces them as one: a request
//! has one configuration from its head to its last byte, also on a connection that is older.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;

use super::connection_table::ConnectionTable;
use super::{AppState, router};
use crate::config::HttpConfig;

/// The gateway. Replacing its limits takes no lock that a request waits for.
pub struct Gateway {
    current: ArcSwap<Served>,
    /// The connections of the public address.
    pub(super) table: ConnectionTable,
}

/// What a request is served with.
pub(super) struct Served {
    pub(super) state: AppState,
    /// The routes of the public address.
    pub(super) all: Router,
    /// The routes of connections beyond the table.
    pub(super) overflow: Router,
    /// The routes of the private address.
    pub(super) private: Router,
}

impl Served {
    fn new(state: AppState) -> Self {
        Self {
            all: router::router(state.clone()),
            overflow: router::overflow(state.clone()),
            private: router::private(state.clone()),
            state,
        }
    }
}

impl Gateway {
    /// Makes the gateway of a state.
    pub fn new(state: AppState) -> Arc<Self> {
        let config = state.config.clone();
        let table = ConnectionTable::new(config.connections_max, config.connections_per_address_max);
        Arc::new(Self { current: ArcSwap::from_pointee(Served::new(state)), table })
    }

    /// Replaces the limits and the routes, for requests that begin later.
    pub fn reconfigure(&self, config: HttpConfig) {
        self.table.rebound(config.connections_max, config.connections_per_address_max);
        let state = self.current().state.with_config(config);
        self.current.store(Arc::new(Served::new(state)));
    }

    /// Returns the limits that apply now.
    pub fn config(&self) -> Arc<HttpConfig> {
        self.current().state.config.clone()
    }

    pub(super) fn current(&self) -> Arc<Served> {
        self.current.load_full()
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.config()).finish_non_exhaustive()
    }
}
