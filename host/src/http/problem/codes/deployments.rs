//! Deploys, revisions and routes.

use super::entry::{ProblemCode, codes};

codes! {
    deploys_busy [503]
        "The maximum number of concurrent deploys is reached."
        "Try again after `Retry-After`.";
    component_missing [422]
        "The deployment has no component yet."
        "Send the component.";
    component_invalid [422]
        "The bytes are not a component that can be compiled."
        "Build the guest again with the SDK of this server: `lector guest build`.";
    component_is_core_module [422]
        "The bytes are a core module, not a component."
        "Build the guest again with the SDK of this server: `lector guest build`.";
    component_import_unknown [422]
        "The component imports an interface that the server does not provide. `detail` names it."
        "Build the guest again with the SDK of this server: `lector guest build`.";
    component_world_mismatch [422]
        "The component was built for another version of the contract."
        "Build the guest again with the SDK of this server: `lector guest build`.";
    component_too_large [413]
        "The component exceeds the size limit."
        "Make the component smaller.";
    component_too_costly [413]
        "Compiling the component takes more processor time or memory than the server allows."
        "Make the component smaller.";
    compiler_died [503]
        "The compiler process ended without a result, for example because of a lack of memory. Nothing was changed."
        "Try again; the operator finds the reason in the server log.";
    compiler_timeout [503]
        "Compiling the component exceeded the time limit. Nothing was changed."
        "Try again; the operator finds the reason in the server log.";
    compiler_missing [503]
        "The compiler process could not be started."
        "Try again; the operator finds the reason in the server log.";
    component_unreadable [503]
        "A configured component cannot be read from the server's disk."
        "The operator corrects the path of the component, or builds the guests.";
    revision_unavailable [503]
        "The routed revision cannot run on this server. The server log has the reason."
        "Promote another revision, or deploy the component again.";
    already_live [409]
        "The revision is live already, so that it cannot be a canary."
        "Choose another revision.";
    component_not_found [404]
        "The tenant has no stored component with that digest."
        "Send the component.";
    no_randomness [503]
        "The system provided no random bytes, so that no key was created."
        "Try again; if the problem persists, the operator checks the system.";
    settings_invalid [422]
        "Settings must be a JSON object."
        "Send an object.";
    settings_too_deep [422]
        "The settings have more than 32 levels."
        "Nest the settings less deeply.";
    revision_quarantined [503]
        "The revision cannot be read from the store."
        "Promote another revision, deploy again, or restore a backup.";
    deployment_quarantined [503]
        "The route of the deployment cannot be read from the store."
        "Promote a revision, or restore a backup.";
    tenant_quarantined [503]
        "The policy of the tenant cannot be read from the store."
        "An administrator updates the tenant or restores a backup.";
    newest_quarantined [409]
        "A deploy without a component or settings uses those of the newest revision, which cannot be read."
        "Send both the component and the settings.";
    settings_too_large [413]
        "The settings exceed 1048576 bytes."
        "Send smaller settings.";
    settings_refused [422]
        "The guest rejected its settings. `detail` holds its config error with a JSON pointer."
        "Correct the member at the JSON pointer that `detail` names.";
    batching_plan_failed [422]
        "The batching policy of the guest gave no valid answer to a test question. `detail` names the question."
        "Correct the batching policy of the guest.";
    grant_missing [403]
        "The guest opens a model or imports an interface that the deployment does not grant, or that the tenant may not grant."
        "Grant the model, or ask an administrator for it.";
    deployment_not_live [409]
        "The deployment has no live revision."
        "Promote a revision.";
    wraps_invalid [422]
        "`wraps` does not fit the component, names the deployment itself, or nests too deeply."
        "Correct `wraps` as `detail` says.";
    tenant_missing [422]
        "The key is an administrator's, and the deploy names no tenant."
        "Send the header `X-Lector-Tenant` with the tenant that owns the deployment.";
    deployment_is_configured [409]
        "The deployment is managed by the server's configuration and cannot be deleted here."
        "Remove the deployment from the configuration of the server.";
    too_many_deployments [409]
        "The tenant has reached the maximum number of deployments, 500."
        "Delete a deployment first.";
    tenant_storage_exceeded [409]
        "The tenant keeps as many revisions, or as many bytes of components and settings, as its limits allow."
        "Delete deployments that are not needed, or ask an administrator for a higher limit.";
    revision_not_found [404]
        "The deployment has no revision with that number, or none at all."
        "List the revisions of the deployment to find the number, or deploy one.";
    nothing_before [409]
        "There is no earlier revision to return to that was not withdrawn."
        "Promote the revision that is to serve.";
    revision_withdrawn [409]
        "The revision was rolled back, and the request does not name it with `force`."
        "Deploy a new revision, or name this one with `force`.";
    percent_invalid [422]
        "`percent` is missing or outside its range: an integer, 1 to 99 for a canary and 0 to 100 for shadow traffic."
        "Correct the value that `detail` names.";
    rollback_policy_invalid [422]
        "A rollback policy has an invalid member: `error_rate_max` and `error_rate_increase_max` are 0 to 1, `pages_min` is 1 or more, and `p99_ratio_max` is above 0."
        "Correct the value that `detail` names.";
    route_changed [409]
        "Another request changed the same resource at the same time. Try again."
        "Read the deployment, and try again.";
    precondition_failed [412]
        "The route of the deployment is not the one that `If-Match` or `expected_revision` names: another request changed it."
        "Read the deployment, decide again, and send its `ETag` or its live revision.";
}
