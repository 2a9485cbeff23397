//! The faults of requests that come to damaged rows.

use lector_core::{DeploymentName, Fault, Kind, TenantName};

/// Code of the fault of a revision that cannot be read.
pub(crate) const REVISION_QUARANTINED: &str = "revision_quarantined";

/// A request came to a revision whose row is damaged.
pub(crate) fn revision_quarantined(deployment: &DeploymentName, number: u32) -> Fault {
    let message = format!(
        "Revision {number} of deployment `{deployment}` cannot be read from the server's store: promote another \
         revision, deploy it again, or have the operator restore a backup."
    );
    Fault::new(Kind::Unavailable, REVISION_QUARANTINED, message)
}

/// A request came to a deployment whose route is damaged.
pub(crate) fn deployment_quarantined(deployment: &DeploymentName) -> Fault {
    let message = format!(
        "The route of deployment `{deployment}` cannot be read from the server's store: promote a revision, or have the \
         operator restore a backup."
    );
    Fault::new(Kind::Unavailable, "deployment_quarantined", message)
}

/// A request came for a tenant whose row is damaged.
pub(crate) fn tenant_quarantined(tenant: &TenantName) -> Fault {
    let message = format!(
        "The policy of tenant `{tenant}` cannot be read from the server's store: an administrator can put it again or \
         restore a backup."
    );
    Fault::new(Kind::Unavailable, "tenant_quarantined", message)
}

/// Whether a damaged row is the cause of a fault.
pub fn is_quarantine(fault: &Fault) -> bool {
    [REVISION_QUARANTINED, "deployment_quarantined", "tenant_quarantined"].contains(&fault.code)
}
