//! The choice and the checks of the revision that a new revision wraps.
//!
//! Owns the meaning of `wraps`: the stable revision of a deployment that the tenant may use is pinned, with everything
//! that it wraps itself. Called by the deploy pipeline and by the deploys of the configuration. A pinned revision is
//! complete and immutable, so no cycle can arise; deployments of the configuration that name each other are refused.

use std::collections::BTreeMap;

use lector_core::call::WRAP_DEPTH_MAX;
use lector_core::{Blame, DeploymentName, Fault, Kind, ModelName};

use crate::config::DeploymentConfig;
use crate::directory::Directory;
use crate::quarantine::faults::{deployment_quarantined, revision_quarantined};
use crate::revision::WrappedRevision;
use crate::tenant::Tenant;

fn invalid(message: String) -> Fault {
    Fault::new(Kind::Invalid, "wraps_invalid", message)
}

/// Pins the live revision of the deployment `wraps`, which is the tenant's own or a shared one, for a new revision of
/// `deployment`. A deployment may wrap the shared deployment of its own name.
pub(crate) fn pinned(
    directory: &Directory,
    tenant: &Tenant,
    deployment: &DeploymentName,
    wraps: &DeploymentName,
) -> Result<WrappedRevision, Fault> {
    let found = if wraps == deployment {
        let shared = directory.shared(wraps).filter(|_| *tenant.name() != directory.host);
        shared.ok_or_else(|| {
            invalid(format!("Deployment `{deployment}` cannot wrap itself: name another deployment."))
        })?
    } else {
        directory.find(tenant, Some(wraps))?
    };
    if found.damage.is_some() {
        return Err(deployment_quarantined(wraps));
    }
    let Some(stable) = found.route.stable() else {
        let message = format!(
            "Deployment `{wraps}` has no live revision to wrap: promote a revision of `{wraps}`, then deploy again."
        );
        return Err(Fault::new(Kind::Conflict, "deployment_not_live", message));
    };
    let record = found.revisions.get(&stable).ok_or_else(|| revision_quarantined(wraps, stable))?;
    let wrapped = record.pinned();
    let depth = wrapped.stages().count();
    if depth > usize::from(WRAP_DEPTH_MAX) {
        let chain: Vec<String> = wrapped.stages().map(|stage| format!("`{}`", stage.deployment)).collect();
        return Err(invalid(format!(
            "Deployment `{deployment}` would wrap {depth} pipelines, one inside the other ({}), and at most \
             {WRAP_DEPTH_MAX} can be wrapped: wrap a deployment that wraps fewer.",
            chain.join(" wraps ")
        )));
    }
    Ok(wrapped)
}

/// Checks that a component that imports `lector:ocr/pipeline` wraps a deployment, and no other component does.
pub(crate) fn agrees(imports_pipeline: bool, wraps: Option<&WrappedRevision>) -> Result<(), Fault> {
    match (imports_pipeline, wraps) {
        (true, None) => Err(invalid(
            "The component imports `lector:ocr/pipeline`, and no deployment to wrap is named: set `wraps` to the name of a \
             deployment (`lector deploy --wraps NAME`)."
                .to_owned(),
        )),
        (false, Some(wrapped)) => Err(invalid(format!(
            "The component does not import `lector:ocr/pipeline`, so it cannot wrap deployment `{}`: leave `wraps` out, \
             or build the guest for the world `wrapper`.",
            wrapped.deployment
        ))),
        _ => Ok(()),
    }
}

/// Checks that the tenant has every model that the wrapped stages open.
pub(crate) fn granted(wraps: &WrappedRevision, models: &BTreeMap<String, ModelName>) -> Result<(), Fault> {
    for stage in wraps.stages() {
        let missing: Vec<&str> = stage
            .models()
            .filter(|model| !models.values().any(|own| own == *model))
            .map(ModelName::as_str)
            .collect();
        if !missing.is_empty() {
            let message = format!(
                "The wrapped deployment `{}` opens models that the tenant may not use: {}. Wrap another deployment, or ask \
                 an administrator to grant them.",
                stage.deployment,
                missing.join(", ")
            );
            return Err(Fault::new(Kind::Denied, "grant_missing", message));
        }
    }
    Ok(())
}

/// Orders the deployments of the configuration so that each follows the one that it wraps. Fault: `platform_config` if
/// one wraps a deployment that is not configured, or if some wrap each other.
pub(crate) fn ordered(deployments: Vec<DeploymentConfig>) -> Result<Vec<DeploymentConfig>, Fault> {
    let misconfigured =
        |message: String| Fault::new(Kind::Invalid, "platform_config", message).blaming(Blame::Host);
    for deployment in &deployments {
        if let Some(wraps) = &deployment.wraps
            && !deployments.iter().any(|other| other.name == *wraps)
        {
            return Err(misconfigured(format!(
                "Deployment `{}` wraps `{wraps}`, which is not configured: name a deployment of the configuration.",
                deployment.name
            )));
        }
    }
    let (mut ordered, mut rest): (Vec<DeploymentConfig>, _) = (Vec::new(), deployments);
    while !rest.is_empty() {
        let is_ready = |of: &DeploymentConfig| match &of.wraps {
            None => true,
            Some(wraps) => ordered.iter().any(|earlier| earlier.name == *wraps),
        };
        let (ready, waiting): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_ready);
        if ready.is_empty() {
            let names: Vec<String> = waiting.iter().map(|of| format!("`{}`", of.name)).collect();
            return Err(misconfigured(format!(
                "The deployments {} wrap each other: remove one `wraps`.",
                names.join(", ")
            )));
        }
        ordered.extend(ready);
        rest = waiting;
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::Budget;

    use super::*;

    fn deployment(name: &str, wraps: Option<&str>) -> DeploymentConfig {
        DeploymentConfig {
            name: name.into(),
            component: "x.wasm".into(),
            settings: serde_json::json!({}),
            grants: BTreeMap::new(),
            budget: Budget::default(),
            wraps: wraps.map(DeploymentName::from),
        }
    }

    #[test]
    fn configured_deployments_follow_the_ones_that_they_wrap() {
        let names = |of: &[(&str, Option<&str>)]| {
            let deployments = of.iter().map(|(name, wraps)| deployment(name, *wraps)).collect();
            ordered(deployments).map(|of| of.iter().map(|one| one.name.to_string()).collect::<Vec<_>>())
        };
        let chain = [("c", Some("b")), ("b", Some("a")), ("a", None), ("d", None)];
        assert_eq!(names(&chain).unwrap(), ["a", "d", "b", "c"]);
        let fault = names(&[("a", Some("x"))]).unwrap_err();
        assert!(fault.message.contains("`a` wraps `x`, which is not configured"), "{fault}");
        let fault = names(&[("a", Some("b")), ("b", Some("a")), ("c", None)]).unwrap_err();
        assert!(fault.message.contains("`a`, `b` wrap each other"), "{fault}");
        assert!(names(&[("a", Some("a"))]).is_err());
    }
}
