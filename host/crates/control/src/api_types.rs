//! Tenants, deployments, revisions, keys, usage and audit events in the form that the API shows: times are RFC 3339 in
//! UTC. No type here holds a secret.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use lector_core::batching::plan::BatchingPolicyStatus;
use lector_core::{DeploymentName, Fault, Kind, ModelName, OptionsSchema, PipelineInfo, TenantName};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};

use crate::digest::Digest;
use crate::directory::Deployment;
use crate::key::{KeyId, KeyRecord, Scope};
use crate::revision::{RevisionRecord, ShadowComparison, Statistics, WrappedRevision};
use crate::route::{RollbackPolicy, RouteRecord, Shadow, Weight, etag};
use crate::settings::Settings;
use crate::store::{AuditEntry, UsageRow};
use crate::tenant::{BudgetSpec, TenantPolicy, TenantRecord};

/// A deployment. Its revisions are without their settings and the schemas of their options.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Deployment)]
pub struct DeploymentView {
    /// Its name.
    #[schema(value_type = String)]
    pub name: DeploymentName,
    /// Whether it is a shared deployment: managed by configuration, usable by every tenant.
    pub shared: bool,
    /// Increases by one with every change of the route.
    pub version: u64,
    /// The stable revision and an optional candidate; empty: no traffic is routed.
    pub weights: Vec<Weight>,
    /// The revision that gets shadow traffic.
    pub shadow: Option<Shadow>,
    /// Applies to the newest revision in `weights`.
    pub rollback_policy: Option<RollbackPolicy>,
    /// The weights that a rollback restores; `None`: there is no earlier revision that was not withdrawn.
    pub previous: Option<Vec<Weight>>,
    /// Time of the last change of the route.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Timestamp,
    /// Entity tag of the route, for `If-Match`.
    pub etag: String,
    /// The reason that the route is quarantined: no traffic is routed until a revision is promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// The revisions, newest first.
    pub revisions: Vec<RevisionView>,
}

/// The state of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevisionState {
    /// Serves traffic.
    Live,
    /// Serves a part of the traffic, on trial.
    Candidate,
    /// Gets shadow traffic.
    Shadow,
    /// The route names it, and this host cannot run it.
    Unavailable,
    /// Serves the requests that hold a lease, and no new ones.
    Draining,
    /// Can be routed to.
    Ready,
    /// Was rolled back: gets requests only if it is promoted by its number with `force`.
    Withdrawn,
    /// Its row in the store is damaged: it cannot be run, and only its number is known.
    Quarantined,
}

/// A revision.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Revision)]
pub struct RevisionView {
    /// Number in the deployment, from 1.
    pub number: u32,
    /// Its state.
    pub state: RevisionState,
    /// Share of the traffic, in percent.
    pub percent: u8,
    /// Documents that hold a lease now.
    pub leases: usize,
    /// The reason that it is quarantined or withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its parts; absent if it is quarantined.
    #[serde(flatten)]
    pub parts: Option<RevisionParts>,
    /// Statistics since it was loaded or became a candidate; absent if it is not in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
    /// Status of the guest's batching policy; absent if the guest has none, or the revision is not in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = batching_policy_schema)]
    pub batching_policy: Option<BatchingPolicyStatus>,
    /// Comparison with the live revision; only for a shadow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<ShadowComparison>,
}

/// The parts of a revision.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RevisionParts {
    /// SHA-256 of the component.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub component: Digest,
    /// Size of the component, in bytes.
    pub component_bytes: u64,
    /// Settings that the guest was configured with; only where one revision is asked for, because they have up to 1 MiB. A
    /// string with the JSON text if they have more than 32 levels, which Lector 0.1 accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = crate::settings::schema)]
    pub settings: Option<Settings>,
    /// Models that the guest may open, by alias.
    #[schema(value_type = BTreeMap<String, String>)]
    pub grants: BTreeMap<String, ModelName>,
    /// Limits of each guest call.
    pub budget: BudgetSpec,
    /// Returned by the guest's `configure`.
    #[schema(value_type = Object)]
    pub pipeline_info: PipelineInfo,
    /// JSON Schema of the options that a request may send as `guest_options`; only where one revision is asked for, because it
    /// has up to 64 KiB, and absent if the guest has no options.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub options_schema: Option<OptionsSchema>,
    /// The revision that it wraps; absent if it wraps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wraps: Option<WrappedView>,
    /// Creation time.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Id of the actor that created it.
    pub created_by: String,
}

/// A wrapped revision. It stays as it was when the wrapping revision was deployed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Wrapped)]
pub struct WrappedView {
    /// Name of the wrapped deployment.
    #[schema(value_type = String)]
    pub deployment: DeploymentName,
    /// Number of the revision.
    pub revision: u32,
    /// SHA-256 of its component.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub digest: Digest,
    /// The revision that it wraps itself.
    #[schema(no_recursion)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wraps: Option<Box<WrappedView>>,
}

impl WrappedView {
    fn of(wrapped: &WrappedRevision) -> Self {
        Self {
            deployment: wrapped.deployment.clone(),
            revision: wrapped.revision,
            digest: wrapped.component.clone(),
            wraps: wrapped.wraps.as_deref().map(|wraps| Box::new(Self::of(wraps))),
        }
    }
}

impl DeploymentView {
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let route = &deployment.route;
        let readable = deployment.revisions.values().map(|record| revision(deployment, record));
        let quarantined = deployment.quarantined.iter();
        let quarantined = quarantined.map(|(number, reason)| quarantined_revision(route, *number, reason));
        let mut revisions: Vec<RevisionView> = readable.chain(quarantined).collect();
        revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
        Self {
            name: route.deployment.clone(),
            shared: route.shared,
            version: route.version,
            weights: route.weights.clone(),
            shadow: route.shadow,
            rollback_policy: route.rollback_policy,
            previous: route
                .earlier()
                .map(|earlier| vec![Weight { revision: earlier.revision, percent: 100 }]),
            changed_at: timestamp(route.changed_at_ms),
            etag: etag(route.version, route.changed_at_ms),
            quarantined: deployment.damage.clone(),
            revisions,
        }
    }

    /// Returns the revision with that number.
    pub fn revision(&self, number: u32) -> Option<&RevisionView> {
        self.revisions.iter().find(|revision| revision.number == number)
    }

    /// Returns the revision that a change of the route without a number means: the newest that is not withdrawn. Faults:
    /// `revision_not_found` without a revision; `revision_withdrawn` if only withdrawn revisions are newer than the live
    /// one, because routing to the live one again is not what was meant.
    pub fn newest(&self) -> Result<u32, Fault> {
        let newest = self.revisions.iter().find(|revision| !revision.is_withdrawn());
        let skipped = self.revisions.first().filter(|revision| revision.is_withdrawn());
        match (newest, skipped) {
            (Some(newest), Some(skipped)) if newest.state == RevisionState::Live => {
                let reason = skipped.reason.as_deref().unwrap_or_default();
                let message = format!(
                    "Revision {} of deployment `{}`, the newest, is withdrawn ({reason}), and no other is newer than the live \
                     one: deploy a new revision, or name the revision.",
                    skipped.number, self.name
                );
                Err(Fault::new(Kind::Conflict, "revision_withdrawn", message))
            }
            (Some(newest), _) => Ok(newest.number),
            (None, Some(skipped)) => {
                let message = format!(
                    "Every revision of deployment `{}` is withdrawn: deploy a new revision, or name one ({} is the newest) \
                     with `force`.",
                    self.name, skipped.number
                );
                Err(Fault::new(Kind::Conflict, "revision_withdrawn", message))
            }
            (None, None) => {
                let message = format!("Deployment `{}` has no revision yet: deploy one.", self.name);
                Err(Fault::new(Kind::NotFound, "revision_not_found", message))
            }
        }
    }
}

impl RevisionView {
    /// Returns the view of one revision, with its settings and the schema of its options.
    pub(crate) fn of(deployment: &Deployment, number: u32) -> Option<Self> {
        let Some(record) = deployment.revisions.get(&number) else {
            let reason = deployment.quarantined.get(&number)?;
            return Some(quarantined_revision(&deployment.route, number, reason));
        };
        let mut view = revision(deployment, record);
        if let Some(parts) = &mut view.parts {
            parts.settings = Some(record.settings.clone());
            parts.options_schema = record.options_schema.clone();
        }
        Some(view)
    }

    /// Returns whether it was rolled back. It may still drain, or get shadow traffic.
    fn is_withdrawn(&self) -> bool {
        self.reason.is_some() && self.state != RevisionState::Quarantined
    }
}

/// Returns a revision of a list, without the parts that may be large.
fn revision(deployment: &Deployment, record: &RevisionRecord) -> RevisionView {
    let (route, number) = (&deployment.route, record.number);
    let in_memory = deployment.in_memory(number);
    let leases = in_memory.as_ref().map_or(0, |revision| revision.gate.count());
    let percent = percent_of(route, number);
    let shadows = route.shadow.is_some_and(|shadow| shadow.revision == number);
    let broken = matches!(deployment.loaded.get(&number), Some(Err(_)));
    let state = match () {
        () if broken => RevisionState::Unavailable,
        () if route.stable() == Some(number) => RevisionState::Live,
        () if route.candidate() == Some(number) => RevisionState::Candidate,
        () if shadows => RevisionState::Shadow,
        () if leases > 0 => RevisionState::Draining,
        () if route.withdrawn.contains_key(&number) => RevisionState::Withdrawn,
        () => RevisionState::Ready,
    };
    RevisionView {
        number,
        state,
        percent,
        leases,
        reason: route.withdrawn.get(&number).cloned(),
        parts: Some(RevisionParts {
            component: record.component.clone(),
            component_bytes: record.component_bytes,
            settings: None,
            grants: record.grants.clone(),
            budget: record.budget,
            pipeline_info: record.pipeline_info.clone(),
            options_schema: None,
            wraps: record.wraps.as_deref().map(WrappedView::of),
            created_at: timestamp(record.created_at_ms),
            created_by: record.created_by.clone(),
        }),
        statistics: in_memory.as_ref().map(|revision| revision.statistics.view()),
        batching_policy: in_memory
            .as_ref()
            .and_then(|revision| Some(revision.batching_policy.as_ref()?.status())),
        comparison: in_memory.filter(|_| shadows).map(|revision| revision.shadow.view()),
    }
}

fn percent_of(route: &RouteRecord, number: u32) -> u8 {
    route.weights.iter().find(|weight| weight.revision == number).map_or(0, |weight| weight.percent)
}

fn quarantined_revision(route: &RouteRecord, number: u32, reason: &str) -> RevisionView {
    RevisionView {
        number,
        state: RevisionState::Quarantined,
        percent: percent_of(route, number),
        leases: 0,
        reason: Some(reason.to_owned()),
        parts: None,
        statistics: None,
        batching_policy: None,
        comparison: None,
    }
}

/// A key, without its secret and its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// The rights of the key.
    #[schema(schema_with = scope_schema)]
    pub scope: Scope,
    /// A label from its owner.
    pub label: String,
    /// Creation time.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Time after which the key is rejected.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Revocation time.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// Whether the key is valid now.
    pub active: bool,
}

impl KeyView {
    /// Returns the view at the civil time `now_ms`.
    pub(crate) fn of(record: &KeyRecord, now_ms: u64) -> Self {
        Self {
            id: record.id.clone(),
            scope: record.scope.clone(),
            label: record.label.clone(),
            created_at: timestamp(record.created_at_ms),
            expires_at: record.expires_at_ms.map(timestamp),
            revoked_at: record.revoked_at_ms.map(timestamp),
            active: record.is_active(now_ms),
        }
    }
}

/// A tenant and its policy.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantView {
    /// Its name.
    #[schema(value_type = String)]
    pub name: TenantName,
    /// Creation time; 1970 for a tenant that the configuration created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Its policy.
    pub policy: TenantPolicy,
}

impl TenantView {
    pub(crate) fn of(record: &TenantRecord) -> Self {
        let TenantRecord { name, created_at_ms, policy } = record;
        Self { name: name.clone(), created_at: timestamp(*created_at_ms), policy: policy.clone() }
    }
}

/// An audit event: who changed what, and the state before and after.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub struct AuditEventView {
    /// Number of the event; increases.
    pub seq: u64,
    /// Time of the change.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Owner of the changed object; null: the server.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantName>,
    /// Id of the key, or `open`, `config`, `rollback_policy`, `cli`.
    pub actor: String,
    /// `promote`, `key_create`, ...
    pub action: String,
    /// Name of the deployment, id of the key, name of the tenant.
    pub target: String,
    /// The state before: an object whose members depend on the action; null if there was none.
    pub from: serde_json::Value,
    /// The state after; null if there is none.
    pub to: serde_json::Value,
    /// Id of the request, if there was one.
    pub request: Option<String>,
}

impl From<&AuditEntry> for AuditEventView {
    fn from(entry: &AuditEntry) -> Self {
        let AuditEntry { seq, at_ms, tenant, actor, action, target, from, to, request } = entry.clone();
        Self { seq, at: timestamp(at_ms), tenant, actor, action, target, from, to, request }
    }
}

/// The usage of a tenant on one day (UTC).
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = UsageDay)]
pub struct UsageView {
    /// The tenant.
    #[schema(value_type = String)]
    pub tenant: TenantName,
    /// The day.
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    /// Requests that were admitted.
    pub requests: u64,
    /// Pages that were read.
    pub pages_ok: u64,
    /// Pages that failed.
    pub pages_failed: u64,
    /// Pixels of the pages read.
    pub pixels: u64,
    /// Time in engines, milliseconds.
    pub engine_ms: u64,
    /// Compute time of guests, milliseconds.
    pub guest_ms: u64,
    /// Requests rejected because of the tenant's own limits, or because the server was overloaded.
    pub rejections: u64,
}

impl From<&UsageRow> for UsageView {
    fn from(row: &UsageRow) -> Self {
        let counts = row.counts;
        let day = timestamp(u64::from(row.day).saturating_mul(86_400_000));
        Self {
            tenant: row.tenant.clone(),
            day: Offset::UTC.to_datetime(day).date(),
            requests: counts.requests,
            pages_ok: counts.pages_ok,
            pages_failed: counts.pages_failed,
            pixels: counts.pixels,
            engine_ms: counts.engine_us / 1000,
            guest_ms: counts.guest_us / 1000,
            rejections: counts.rejections,
        }
    }
}

/// Returns the time of milliseconds since 1970; the last representable time for a value beyond it.
pub(crate) fn timestamp(at_ms: u64) -> Timestamp {
    i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// The schema of [`BatchingPolicyStatus`], a type of `lector-core`; the document of the host defines it.
fn batching_policy_schema() -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name("BatchingPolicyStatus"))
}

/// The schema of [`Scope`]: `"admin"`, or an object with the tenant.
fn scope_schema() -> RefOr<Schema> {
    let admin = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["admin"]));
    let tenant = ObjectBuilder::new()
        .property("tenant", ObjectBuilder::new().schema_type(Type::String))
        .required("tenant")
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    let one_of = OneOfBuilder::new().description(Some("`admin`, or the tenant of the key."));
    RefOr::T(one_of.item(admin).item(tenant).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let check = |at_ms: u64, expect: &str| assert_eq!(timestamp(at_ms).to_string(), expect);
        check(0, "1970-01-01T00:00:00Z");
        check(951_827_696_789, "2000-02-29T12:34:56.789Z");
        check(1_795_602_000_001, "2026-11-25T10:20:00.001Z");
        check(4_102_444_799_999, "2099-12-31T23:59:59.999Z");
        check(u64::MAX, "9999-12-30T22:00:00.999999999Z");
        let row = UsageRow { tenant: "a".into(), day: 11_016, counts: Default::default() };
        assert_eq!(serde_json::json!(UsageView::from(&row))["day"], "2000-02-29");
    }
}
