//! Records and stores for the tests of this crate.

use std::collections::BTreeMap;
use std::time::Duration;

use lector_core::{Budget, OptionsSchema, PipelineInfo};

use crate::digest::Digest;
use crate::revision::RevisionRecord;
use crate::settings::Settings;
use crate::store::{StoreError, when_free};

/// Longest wait, for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// Opens a folder that was used before in this process. Its lock may be held for a moment: by work that no caller waits for,
/// such as the deletion of a dropped input, and by a child that another test starts, which has copies of all files of this
/// process until its own program begins.
#[allow(clippy::unwrap_used, reason = "for tests")]
pub(crate) async fn reopened<T>(open: impl FnMut() -> Result<T, StoreError>) -> T {
    when_free(SOON, open).await.unwrap()
}

/// Returns the record of a revision, without a deploy.
pub(crate) fn revision_record(tenant: &str, deployment: &str, number: u32) -> RevisionRecord {
    RevisionRecord {
        tenant: tenant.into(),
        deployment: deployment.into(),
        number,
        component: Digest::of(b"component"),
        component_bytes: 9,
        settings: Settings::from(r#"{"tier":"tiny"}"#),
        grants: BTreeMap::from([("detection".to_owned(), "model".into())]),
        budget: Budget::default().into(),
        pipeline_info: PipelineInfo { models: vec!["detection".into()], batching: vec![], features: vec![] },
        options_schema: OptionsSchema::parse(r#"{"type":"object","properties":{"currency":{}}}"#).ok(),
        wraps: None,
        created_at_ms: 3,
        created_by: "k1".into(),
    }
}

/// Returns the record of a revision that wraps a revision that wraps another one, each of a component of its own.
pub(crate) fn wrapping_record(tenant: &str, deployment: &str, number: u32) -> RevisionRecord {
    let stage = |name: &str, wraps: Option<RevisionRecord>| RevisionRecord {
        component: Digest::of(name.as_bytes()),
        settings: Settings::from(format!(r#"{{"stage":"{name}"}}"#).as_str()),
        grants: BTreeMap::from([("detection".to_owned(), name.into())]),
        wraps: wraps.map(|wraps| Box::new(wraps.pinned())),
        ..revision_record(tenant, name, 7)
    };
    let wraps = stage("outer", Some(stage("inner", None)));
    RevisionRecord { wraps: Some(Box::new(wraps.pinned())), ..revision_record(tenant, deployment, number) }
}
