//! Changes of the route of a deployment: promote, canary, shadow, rollback.
//!
//! Owns the precondition of a change: `If-Match` with the entity tag of the route, or the member `expected_revision`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use lector_control::{
    DeploymentView, Destination, EntityTags, Principal, RollbackPolicy, RollbackRequest, RoutePrecondition,
};
use lector_core::{DeploymentName, Fault, Kind};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::AppState;
use super::super::auth::TenantCtx;
use super::super::extract::{Body, Path};
use super::super::json::{JsonBody, SMALL_BYTES_MAX};
use super::super::problem::{Problem, option_invalid};

/// A deployment, with the entity tag of its route as `ETag`.
pub(super) type Tagged = ([(header::HeaderName, String); 1], Json<DeploymentView>);

pub(super) fn tagged(deployment: DeploymentView) -> Tagged {
    ([(header::ETAG, deployment.etag.clone())], Json(deployment))
}

/// Returns the precondition of a change of a route: the header `If-Match`, and the member `expected_revision`.
pub(in super::super) fn precondition(
    headers: &HeaderMap,
    revision: Option<u32>,
) -> Result<RoutePrecondition, Fault> {
    let mut values = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        let text = value
            .to_str()
            .map_err(|_| option_invalid("`If-Match` is not ASCII: send the `ETag` of the deployment."))?;
        values.extend(text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
    }
    let is_tag = |tag: &String| tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"');
    let etags = match values.as_slice() {
        [] => None,
        [any] if any == "*" => Some(EntityTags::Any),
        tags if tags.iter().all(is_tag) => Some(EntityTags::OneOf(values)),
        // A weak tag never matches (RFC 9110, section 13.1.1), and an unquoted one is a mistake.
        _ => {
            let message = "`If-Match` is invalid: send the `ETag` of the deployment with its quotes, or `*`.";
            return Err(option_invalid(message));
        }
    };
    Ok(RoutePrecondition { etags, revision })
}

/// The body of `promote`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Promotion)]
pub(in super::super) struct PromoteBody {
    /// Number of the revision; the default is the newest that is not withdrawn.
    revision: Option<u32>,
    /// Limits beyond which the server rolls the route back.
    rollback_policy: Option<RollbackPolicy>,
    /// Whether the named revision may be a withdrawn one.
    force: bool,
    /// The live revision that the caller expects, 0 for none: with another one, nothing changes.
    expected_revision: Option<u32>,
}

/// The body of `canary` and `shadow`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Route)]
pub(in super::super) struct RouteBody {
    /// Number of the revision; the default is the newest that is not withdrawn.
    revision: Option<u32>,
    /// Percentage: 1 to 99 for a canary, 0 to 100 for a shadow.
    #[schema(minimum = 0, maximum = 100)]
    percent: Option<u8>,
    /// Limits beyond which the server rolls the route back; not for a shadow.
    rollback_policy: Option<RollbackPolicy>,
    /// Whether the named revision may be a withdrawn one; not for a shadow.
    force: bool,
    /// The live revision that the caller expects, 0 for none: with another one, nothing changes.
    expected_revision: Option<u32>,
}

/// The body of `rollback`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Rollback)]
pub(in super::super) struct RollbackBody {
    /// Number of the revision to return to; the default is the newest stable one before that was not withdrawn.
    to: Option<u32>,
    /// Reason that the withdrawn revision shows; at most 500 characters are kept.
    reason: Option<String>,
    /// The live revision that the caller expects, 0 for none: with another one, nothing changes.
    expected_revision: Option<u32>,
}

impl JsonBody for PromoteBody {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

impl JsonBody for RouteBody {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

impl JsonBody for RollbackBody {
    const BYTES_MAX: u64 = SMALL_BYTES_MAX;
}

/// The revision that a body names.
#[derive(Clone, Copy)]
struct Named {
    revision: Option<u32>,
    force: bool,
    expected: Option<u32>,
}

impl Named {
    /// Returns the named revision, or the newest that is not withdrawn.
    fn revision(self, deployment: &DeploymentView) -> Result<u32, Fault> {
        match self.revision {
            Some(revision) => Ok(revision),
            None if self.force => {
                let message = "`force` without `revision`: name the withdrawn revision.";
                Err(Fault::new(Kind::Invalid, "body_invalid", message))
            }
            None => deployment.newest(),
        }
    }
}

impl PromoteBody {
    fn named(&self) -> Named {
        Named { revision: self.revision, force: self.force, expected: self.expected_revision }
    }
}

impl RouteBody {
    fn named(&self) -> Named {
        Named { revision: self.revision, force: self.force, expected: self.expected_revision }
    }

    fn percent(&self) -> Result<u8, Fault> {
        self.percent.ok_or_else(|| {
            Fault::new(
                Kind::Invalid,
                "percent_invalid",
                "`percent` is missing: send an integer from 1 to 99 for a canary, 0 to 100 for a shadow.",
            )
        })
    }
}

/// Changes the route of a deployment.
async fn reroute(
    state: &AppState,
    principal: &Principal,
    name: String,
    headers: &HeaderMap,
    named: Named,
    destination: Destination,
) -> Result<Tagged, Problem> {
    let name = DeploymentName::from(name);
    let precondition = precondition(headers, named.expected)?;
    let revision = named.revision(&state.control.own_deployment(principal, &name)?)?;
    let control = &state.control;
    let view = control.route_if(principal, &name, revision, destination, &precondition, named.force).await?;
    Ok(tagged(view))
}

/// Routes all requests to a revision.
///
/// The change is atomic. One revision reads a document from beginning to end: documents in progress finish with the
/// previous revision. A withdrawn revision needs `force` with its number.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{name}/promote",
    operation_id = "promote",
    tag = "Deploy",
    request_body = PromoteBody,
    responses((status = 200, description = "The deployment with its new route.", body = DeploymentView, headers(("ETag" = String, description = "Entity tag of the route, for `If-Match`.")))),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment", "manage", "change", "json", "store", "route", "revision", "precondition"])),
        ("x-parameters" = json!(["name", "if_match"]))
    )
)]
pub(in super::super) async fn promote(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(body): Body<PromoteBody>,
) -> Result<Tagged, Problem> {
    let named = body.named();
    reroute(&state, &principal, name, &headers, named, Destination::Promote(body.rollback_policy)).await
}

/// Routes a percentage of the requests to a revision.
///
/// The choice of the revision is sticky by `X-Lector-Routing-Key`, or by the request id without that header. With a
/// `rollback_policy`, the server rolls the route back if errors or times exceed its limits.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{name}/canary",
    operation_id = "canary",
    tag = "Deploy",
    request_body = RouteBody,
    responses((status = 200, description = "The deployment with its new route.", body = DeploymentView, headers(("ETag" = String, description = "Entity tag of the route, for `If-Match`.")))),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment", "manage", "change", "json", "store", "route", "revision", "precondition"])),
        ("x-parameters" = json!(["name", "if_match"]))
    )
)]
pub(in super::super) async fn canary(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(body): Body<RouteBody>,
) -> Result<Tagged, Problem> {
    let (named, destination) = (body.named(), Destination::Canary(body.percent()?, body.rollback_policy));
    reroute(&state, &principal, name, &headers, named, destination).await
}

/// Mirrors a percentage of the documents to a revision.
///
/// A shadow revision never answers. The server compares its transcripts with those of the live revision.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{name}/shadow",
    operation_id = "shadow",
    tag = "Deploy",
    request_body = RouteBody,
    responses((status = 200, description = "The deployment with its new route.", body = DeploymentView, headers(("ETag" = String, description = "Entity tag of the route, for `If-Match`.")))),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment", "manage", "change", "json", "store", "route", "revision", "precondition"])),
        ("x-parameters" = json!(["name", "if_match"]))
    )
)]
pub(in super::super) async fn shadow(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(body): Body<RouteBody>,
) -> Result<Tagged, Problem> {
    if body.rollback_policy.is_some() {
        let message = "`rollback_policy` does not apply to a shadow, which answers no requests: omit it.";
        return Err(Fault::new(Kind::Invalid, "body_invalid", message).into());
    }
    let destination = Destination::Shadow(body.percent()?);
    reroute(&state, &principal, name, &headers, body.named(), destination).await
}

/// Returns to an earlier revision.
///
/// Routes all requests to the newest earlier revision that had them and was not withdrawn (of a canary: to the stable
/// revision), or to the revision `to`, with the rollback policy that applied to it then. The revision that is rolled back
/// becomes `withdrawn`: `promote` and `canary` without a number skip it, and need `force` with its number.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{name}/rollback",
    operation_id = "rollback",
    tag = "Deploy",
    request_body = RollbackBody,
    responses((status = 200, description = "The deployment with its earlier route.", body = DeploymentView, headers(("ETag" = String, description = "Entity tag of the route, for `If-Match`.")))),
    extensions(
        ("x-problems" = json!(["tenant", "path", "deployment", "manage", "change", "json", "store", "route", "revision", "precondition"])),
        ("x-parameters" = json!(["name", "if_match"]))
    )
)]
pub(in super::super) async fn rollback(
    State(state): State<AppState>,
    TenantCtx(principal): TenantCtx,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(body): Body<RollbackBody>,
) -> Result<Tagged, Problem> {
    let RollbackBody { to, reason, expected_revision } = body;
    let request = RollbackRequest { to, reason, precondition: precondition(&headers, expected_revision)? };
    Ok(tagged(state.control.rollback(&principal, &name.into(), request).await?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn if_match_is_a_list_of_tags() {
        let check = |values: &[&str], expect: Result<Option<EntityTags>, ()>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, value.parse().unwrap());
            }
            let found = precondition(&headers, None).map(|found| found.etags).map_err(|_| ());
            assert_eq!(found, expect, "{values:?}");
        };
        let tags =
            |tags: &[&str]| Ok(Some(EntityTags::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect())));
        check(&[], Ok(None));
        check(&["*"], Ok(Some(EntityTags::Any)));
        check(&["\"1-a\""], tags(&["\"1-a\""]));
        check(&["\"1-a\", \"2-b\"", "\"3-c\""], tags(&["\"1-a\"", "\"2-b\"", "\"3-c\""]));
        for bad in ["1-a", "W/\"1-a\"", "*, \"1-a\"", "\""] {
            check(&[bad], Err(()));
        }
    }
}
