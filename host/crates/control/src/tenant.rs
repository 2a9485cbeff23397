//! Tenants: policy, limits and counters.
//!
//! Owns the record of a tenant, its limits, and the counters that exist while the process runs (request rate, pages of
//! the day, usage not yet written). Independent of HTTP and of the store. Read by every request.

mod permits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::fair::Account;
use lector_core::{Budget, DeploymentName, Fault, Kind, ModelName, TenantName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use permits::{PageMemory, PermitRequest, TenantLimits, TenantPermits};

use crate::settings::Settings;
use crate::usage_counters::UsageCounters;

/// Most bytes in the name of a tenant or a deployment.
const NAME_BYTES_MAX: usize = 63;

/// Returns whether a name is valid for a tenant or a deployment: 1 to 63 of a-z, 0-9 and -, and not starting with -.
/// Names appear in URL paths, logs and metrics.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
}

/// Returns the fault for an invalid name.
pub fn name_invalid(what: &str, name: &str) -> Fault {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    Fault::new(
        Kind::Invalid,
        "name_invalid",
        format!(
            "`{shown}` is not a valid name for a {what}: use 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -, not starting with -."
        ),
    )
}

/// Returns the fault for a tenant that does not exist or that the key may not act for.
pub(crate) fn tenant_not_found(name: &str) -> Fault {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    Fault::new(
        Kind::NotFound,
        "tenant_not_found",
        format!(
            "The tenant `{shown}` does not exist, or the key may not act for it: check the name and the key."
        ),
    )
}

/// The stored form of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRecord {
    /// Its name.
    pub name: TenantName,
    /// Creation time, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Its policy.
    #[serde(alias = "terms")]
    pub policy: TenantPolicy,
}

/// The policy that an administrator sets for a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantPolicy {
    /// Limits.
    pub limits: Limits,
    /// Share of contended engines, relative to the weights of other tenants.
    #[schema(minimum = 1)]
    pub weight: u32,
    /// Models that its guests may open: the alias in the guest, the model in the catalog. `None`: those of the shared
    /// deployments.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub models: Option<BTreeMap<String, ModelName>>,
    /// Interfaces of the contract that its guests may import.
    #[schema(value_type = Vec<Capability>)]
    pub capabilities: BTreeSet<Capability>,
    /// The deployment for requests that name none; `None`: the host's default.
    #[schema(value_type = Option<String>)]
    pub default_deployment: Option<DeploymentName>,
    /// Other data that operators keep with the tenant; not interpreted.
    #[schema(schema_with = crate::settings::schema)]
    pub settings: Settings,
}

impl Default for TenantPolicy {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            weight: 100,
            models: None,
            capabilities: Capability::ALL.into(),
            default_deployment: None,
            settings: Settings::default(),
        }
    }
}

/// Interfaces of the contract that are granted separately; every guest may import types, settings, log and trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// `lector:ocr/document`: pages, their text layers, their renderings.
    Document,
    /// `lector:image/images`: operations on pixels.
    Image,
    /// `lector:inference/models`: models.
    Inference,
    /// `wasi:*` 0.2: clocks and randomness; files, network and environment exist but are empty.
    Wasi,
}

impl Capability {
    /// All capabilities.
    pub const ALL: [Self; 4] = [Self::Document, Self::Image, Self::Inference, Self::Wasi];

    /// Returns the name in configuration and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Image => "image",
            Self::Inference => "inference",
            Self::Wasi => "wasi",
        }
    }

    /// Returns the capability that an import of that interface needs; `None`: no capability.
    pub fn of_import(import: &str) -> Option<Self> {
        let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
        match interface {
            "lector:ocr/document" => Some(Self::Document),
            "lector:image/images" => Some(Self::Image),
            "lector:inference/models" => Some(Self::Inference),
            other if other.starts_with("wasi:") => Some(Self::Wasi),
            _ => None,
        }
    }
}

/// Limits of one tenant. 0 means "no limit of its own" where a field says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Sustained requests a second; 0: no limit of its own.
    #[schema(minimum = 0)]
    pub requests_per_s: f64,
    /// Requests accepted at once beyond that rate; at least 1 if there is a rate.
    pub burst: u32,
    /// Pages in progress at once; 0: no limit of its own.
    pub pages_concurrent: u32,
    /// Pages a day (UTC); 0: no limit of its own.
    pub pages_per_day: u64,
    /// Request bodies that it may send at once; 0: the host's default for a tenant.
    pub uploads_concurrent: u32,
    /// Bytes of one document; 0: the host's limit.
    pub body_bytes_max: u64,
    /// Bytes of its documents and of undelivered results in memory at once; 0: the host's default for a tenant.
    pub held_bytes_max: u64,
    /// Bytes of pixels and tensors that its pages in progress may hold at once. A page begins when the bytes that it is
    /// expected to hold are free: those of earlier pages, for the first page the whole of its budget
    /// (`budget.host_bytes`). 0: the host's default for a tenant.
    pub images_bytes_max: u64,
    /// Pages read of one document; 0: the host's limit.
    pub pages_per_document_max: u32,
    /// Revisions of all its deployments; 0: the host's default for a tenant.
    pub revisions_max: u32,
    /// Bytes of the components and settings of these; 0: the host's default for a tenant.
    pub stored_bytes_max: u64,
    /// Jobs that are not finished; 0: the host's default for a tenant.
    pub jobs_unfinished_max: u64,
    /// Bytes of the documents and results of all its jobs, beyond which a new one is refused; 0: the host's default for a
    /// tenant.
    pub jobs_bytes_max: u64,
    /// Deadline of a request that sets none, in milliseconds; 0: the host's.
    pub request_timeout_ms: u64,
    /// Upper bounds of the limits of one guest call; they apply to every revision.
    pub budget: BudgetSpec,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_s: 0.0,
            burst: 20,
            pages_concurrent: 0,
            pages_per_day: 0,
            uploads_concurrent: 0,
            body_bytes_max: 0,
            held_bytes_max: 0,
            images_bytes_max: 0,
            pages_per_document_max: 0,
            revisions_max: 0,
            stored_bytes_max: 0,
            jobs_unfinished_max: 0,
            jobs_bytes_max: 0,
            request_timeout_ms: 0,
            budget: BudgetSpec::default(),
        }
    }
}

impl Limits {
    /// Returns the most bytes of one document: the smaller of `host_max` and the tenant's own limit.
    pub fn document_bytes_max(&self, host_max: u64) -> u64 {
        match self.body_bytes_max {
            0 => host_max,
            own => own.min(host_max),
        }
    }

    /// Returns the limits if their values are in range.
    pub fn checked(self) -> Result<Self, Fault> {
        let wrong = |what: &str| Err(Fault::new(Kind::Invalid, "limits_invalid", format!("`limits.{what}.")));
        if !self.requests_per_s.is_finite() || self.requests_per_s < 0.0 {
            return wrong("requests_per_s` must be 0 (no bound) or more");
        }
        if self.requests_per_s > 0.0 && self.burst == 0 {
            return wrong("burst` must be 1 or more if there is a rate: with 0 every request is rejected");
        }
        if (1..1 << 20).contains(&self.images_bytes_max) {
            return wrong(
                "images_bytes_max` must be 0 (no bound) or 1 MiB or more: with less no page can be rendered",
            );
        }
        if let Some(zero) = self.budget.zero() {
            return wrong(&format!("budget.{zero}` must be 1 or more: with 0 no guest can run"));
        }
        Ok(self)
    }
}

/// The serialized form of a [`Budget`]: times in milliseconds; absent members have the values of `Budget::default()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Budget)]
pub struct BudgetSpec {
    /// Largest duration of a call without waits for engines that serve others, in milliseconds; at least 1.
    #[schema(minimum = 1)]
    pub wall_ms: u64,
    /// Largest compute time of a call, in milliseconds; at least 1.
    #[schema(minimum = 1)]
    pub compute_ms: u64,
    /// Largest memory of the guest, in bytes; at least 1.
    #[schema(minimum = 1)]
    pub memory_bytes: u64,
    /// Most handles that are open at once.
    pub handles: u32,
    /// Most bytes of pixels, tensors and text that the host holds for the call.
    pub host_bytes: u64,
    /// Most calls of host functions.
    pub host_calls: u64,
    /// Most bytes of log text.
    pub log_bytes: u64,
    /// Most pixels of one image.
    pub pixels_max: u64,
    /// Largest result, in bytes; at least 1.
    #[schema(minimum = 1)]
    pub result_bytes: u64,
}

impl Default for BudgetSpec {
    fn default() -> Self {
        Budget::default().into()
    }
}

impl From<Budget> for BudgetSpec {
    fn from(budget: Budget) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            wall_ms: ms(budget.wall),
            compute_ms: ms(budget.compute),
            memory_bytes: budget.memory_bytes,
            handles: budget.handles,
            host_bytes: budget.host_bytes,
            host_calls: budget.host_calls,
            log_bytes: budget.log_bytes,
            pixels_max: budget.pixels_max,
            result_bytes: budget.result_bytes,
        }
    }
}

impl From<BudgetSpec> for Budget {
    fn from(spec: BudgetSpec) -> Self {
        Self {
            wall: Duration::from_millis(spec.wall_ms),
            compute: Duration::from_millis(spec.compute_ms),
            memory_bytes: spec.memory_bytes,
            handles: spec.handles,
            host_bytes: spec.host_bytes,
            host_calls: spec.host_calls,
            log_bytes: spec.log_bytes,
            pixels_max: spec.pixels_max,
            result_bytes: spec.result_bytes,
        }
    }
}

impl BudgetSpec {
    /// Returns the smaller value of both for each member.
    pub fn at_most(self, most: Self) -> Self {
        Self {
            wall_ms: self.wall_ms.min(most.wall_ms),
            compute_ms: self.compute_ms.min(most.compute_ms),
            memory_bytes: self.memory_bytes.min(most.memory_bytes),
            handles: self.handles.min(most.handles),
            host_bytes: self.host_bytes.min(most.host_bytes),
            host_calls: self.host_calls.min(most.host_calls),
            log_bytes: self.log_bytes.min(most.log_bytes),
            pixels_max: self.pixels_max.min(most.pixels_max),
            result_bytes: self.result_bytes.min(most.result_bytes),
        }
    }

    /// Returns a member that is 0 and must not be. A guest needs no log and no host calls, so those may be 0.
    pub fn zero(&self) -> Option<&'static str> {
        [
            ("wall_ms", self.wall_ms == 0),
            ("compute_ms", self.compute_ms == 0),
            ("memory_bytes", self.memory_bytes == 0),
            ("result_bytes", self.result_bytes == 0),
        ]
        .into_iter()
        .find_map(|(name, zero)| zero.then_some(name))
    }
}

/// A tenant in the running server.
#[derive(Debug)]
pub struct Tenant {
    /// Its stored form.
    pub record: TenantRecord,
    /// Kept when the record changes.
    pub usage: Arc<UsageCounters>,
    /// Permits for pages and for their bytes. A new limit applies to later documents; documents in progress keep the
    /// old one.
    pub permits: TenantLimits,
    /// Its own limit or the default; 0: none.
    images_bytes_max: u64,
}

impl Tenant {
    /// Makes a tenant that continues with the counters `usage`. `images_bytes_max`: for a tenant without a limit of its
    /// own; 0: none.
    pub fn new(record: TenantRecord, usage: Arc<UsageCounters>, images_bytes_max: u64) -> Arc<Self> {
        let limits = &record.policy.limits;
        let images_bytes_max = match limits.images_bytes_max {
            0 => images_bytes_max,
            own => own,
        };
        let permits = TenantLimits::new(limits.pages_concurrent, images_bytes_max);
        Arc::new(Self { record, usage, permits, images_bytes_max })
    }

    /// Returns the budget of a page; its image bytes are bounded by the limit of all pages of the tenant.
    pub fn page_budget(&self) -> BudgetSpec {
        let budget = self.limits().budget;
        let host_bytes = match self.images_bytes_max {
            0 => budget.host_bytes,
            most => budget.host_bytes.min(most),
        };
        BudgetSpec { host_bytes, ..budget }
    }

    /// Returns the account that the fair queues charge its work to.
    pub fn account(&self) -> Account {
        Account::new(self.name().clone(), self.record.policy.weight)
    }

    /// Returns its name.
    pub fn name(&self) -> &TenantName {
        &self.record.name
    }

    /// Returns its limits.
    pub fn limits(&self) -> &Limits {
        &self.record.policy.limits
    }

    /// Admits one request. Fault: `rate_limited`, with the time until the next one would be admitted.
    pub fn enter(&self, now: Instant) -> Result<(), Fault> {
        match self.usage.rate(self.limits().requests_per_s, self.limits().burst, now) {
            Ok(()) => Ok(()),
            Err(after) => {
                self.usage.rejected();
                let rate = self.limits().requests_per_s;
                let message = format!(
                    "The tenant sends more than {rate} requests a second, its limit: try again in {} s.",
                    after.as_secs() + 1
                );
                Err(Fault::new(Kind::Busy, "rate_limited", message).retry_after(after))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "acme", "7-up", &"x".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "a/b", "ä", "a b", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn capabilities_of_imports() {
        let check = |import, expect| assert_eq!(Capability::of_import(import), expect, "{import}");
        check("lector:inference/models@0.2.0", Some(Capability::Inference));
        check("lector:image/images@0.2.4", Some(Capability::Image));
        check("lector:ocr/document@0.2.0", Some(Capability::Document));
        check("wasi:clocks/wall-clock@0.2.3", Some(Capability::Wasi));
        check("lector:ocr/log@0.2.0", None);
        check("lector:ocr/pipeline@0.2.0", None);
    }

    #[test]
    fn limits_that_admit_no_request_are_rejected() {
        let check = |limits: Limits, ok: bool| assert_eq!(limits.checked().is_ok(), ok);
        check(Limits::default(), true);
        check(Limits { requests_per_s: f64::NAN, ..Limits::default() }, false);
        check(Limits { requests_per_s: -1.0, ..Limits::default() }, false);
        check(Limits { requests_per_s: 1.0, burst: 0, ..Limits::default() }, false);
        check(Limits { images_bytes_max: 1000, ..Limits::default() }, false);
        check(Limits { images_bytes_max: 64 << 20, ..Limits::default() }, true);
        let budget = BudgetSpec { memory_bytes: 0, ..BudgetSpec::default() };
        check(Limits { budget, ..Limits::default() }, false);
    }

    #[test]
    fn a_policy_may_be_partial_and_unknown_members_are_reported() {
        let policy: TenantPolicy =
            serde_json::from_str(r#"{"weight": 300, "limits": {"budget": {"wall_ms": 5}}}"#).unwrap();
        assert_eq!((policy.weight, policy.limits.budget.wall_ms), (300, 5));
        assert_eq!(policy.limits.budget.handles, Budget::default().handles);
        for bad in [r#"{"wait": 1}"#, r#"{"limits": {"rate": 1}}"#, r#"{"capabilities": ["gpu"]}"#] {
            assert!(serde_json::from_str::<TenantPolicy>(bad).is_err(), "{bad}");
        }
    }
}
