//! Records for the tests of this crate.

use std::collections::BTreeMap;

use lector_core::{Budget, PipelineInfo};

use crate::digest::Digest;
use crate::revision::RevisionRecord;
use crate::settings::Settings;

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
        created_at_ms: 3,
        created_by: "k1".into(),
    }
}
