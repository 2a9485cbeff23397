//! Damaged rows: the log at the start, and the list of those found while the server runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lector_core::{DeploymentName, TenantName};

use crate::store::{DamagedRow, Table};

/// Most damaged rows of usage and of the audit log that are remembered.
const FOUND_MAX: usize = 1000;

/// Logs every damaged row found at the start.
pub(crate) fn log(damaged: &[DamagedRow]) {
    for row in damaged {
        let DamagedRow { table, tenant, deployment, key, number, reason } = row;
        let tenant = tenant.as_ref().map(TenantName::as_str);
        let deployment = deployment.as_ref().map(DeploymentName::as_str);
        tracing::error!(
            table = table.as_str(),
            tenant,
            deployment,
            key,
            number,
            reason,
            "a stored row is damaged and quarantined; everything else is served"
        );
    }
}

/// Rows that were found damaged while the server runs.
#[derive(Debug, Default)]
pub(crate) struct Found(Mutex<BTreeMap<(Table, String), DamagedRow>>);

impl Found {
    pub(crate) fn remember(&self, damaged: &[DamagedRow]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in damaged {
            let tenant = row.tenant.as_ref().map_or("", TenantName::as_str);
            let at = (row.table, format!("{tenant}/{:?}", row.number));
            if known.len() < FOUND_MAX && !known.contains_key(&at) {
                log(std::slice::from_ref(row));
                known.insert(at, row.clone());
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<DamagedRow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
