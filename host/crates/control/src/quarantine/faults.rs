//! The faults of requests to quarantined objects.

use lector_core::{DeploymentName, Fault, Kind, TenantName};

/// Code of the fault of an unreadable revision.
pub(crate) const REVISION_QUARANTINED: &str = "revision_quarantined";

/// Returns the fault of a request to a revision with a damaged row.
pub(crate) fn revision_quarantined(deployment: &DeploymentName, number: u32) -> Fault {
    let message = format!(
        "Revision {number} of deployment `{deployment}` cannot be read from the server's store: promote another \
         revision, deploy it again, or have the operator restore a backup."
    );
    Fault::new(Kind::Unavailable, REVISION_QUARANTINED, message)
}

/// Returns the fault of a request to a deployment with a damaged route.
pub(crate) fn deployment_quarantined(deployment: &DeploymentName) -> Fault {
    let message = format!(
        "The route of deployment `{deployment}` cannot be read from the server's store: promote a revision, or have the \
         operator restore a backup."
    );
    Fault::new(Kind::Unavailable, "deployment_quarantined", message)
}

/// Returns the fault of a request for a tenant with a damaged row.
pub(crate) fn tenant_quarantined(tenant: &TenantName) -> Fault {
    let message = format!(
        "The policy of tenant `{tenant}` cannot be read from the server's store: an administrator can set it again or \
         restore a backup."
    );
    Fault::new(Kind::Unavailable, "tenant_quarantined", message)
}
