//! Keys, limits and tenants.

use super::entry::{ProblemCode, codes};

codes! {
    body_invalid [400]
        "The JSON body of a management request is invalid. `detail` names the member."
        "Correct the member that `detail` names.";
    key_missing [401]
        "The request has no key."
        "Send a key as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.";
    key_invalid [401]
        "The key is unknown, revoked or expired."
        "Send a valid key; ask its owner for a new one.";
    admin_only [403]
        "The key belongs to a tenant, and the operation requires an administrator."
        "Use an administrator's key.";
    local_only [403]
        "While no key exists, the operation is allowed only from the machine of the server."
        "Create a key on the machine of the server: `lector keys create --admin`.";
    foreign_host [403]
        "The server has no keys, and the request names another host or comes from a page of another site."
        "Address the server as `localhost` or by its loopback address, or create an administrator key there and send it.";
    auth_throttled [429]
        "Too many requests had an invalid key."
        "Wait for `Retry-After`, then try again.";
    rate_limited [429]
        "The tenant exceeded its request rate."
        "Wait for `Retry-After`, then try again.";
    tenant_overloaded [429]
        "The pending work of the tenant exceeds its share of the server, or the tenant receives too many results of jobs at once."
        "Wait for `Retry-After`, then try again.";
    tenant_memory_exceeded [429]
        "The documents and results of the tenant in memory have reached `limits.held_bytes_max`."
        "Wait for `Retry-After`, then try again.";
    tenant_uploads_exceeded [429]
        "The tenant sends as many request bodies at once as `limits.uploads_concurrent` allows."
        "Send fewer at once, or wait for `Retry-After`, then try again.";
    quota_exceeded [429]
        "The tenant has used its pages of this day. The next day begins at midnight UTC."
        "Wait for the next day (UTC), or ask an administrator to raise the quota.";
    admin_key_first [409]
        "The first key of a server must be an administrator's key."
        "Create an administrator's key first.";
    last_admin_key [409]
        "The last active administrator's key cannot be revoked."
        "Create another administrator's key first.";
    key_not_found [404]
        "The key does not exist."
        "List the keys to find the id.";
    label_invalid [422]
        "The label of the key is too long or contains control characters."
        "Send a shorter label without control characters.";
    grace_invalid [422]
        "`grace_s` exceeds the maximum."
        "Send at most the maximum that `detail` names.";
    too_many_keys [409]
        "The owner has reached the maximum number of active keys."
        "Revoke a key first.";
    tenant_not_found [404]
        "The tenant does not exist."
        "Correct the name, or use a key of that tenant.";
    tenant_is_configured [409]
        "The tenant owns the configured deployments and cannot be deleted."
        "Remove the tenant from the configuration of the server.";
    too_many_changes [429]
        "The tenant, or the administrators, have the maximum number of changes that wait for earlier ones."
        "Wait for `Retry-After`, then try again. Send fewer changes at once.";
    followers_too_many [503]
        "The tenant has reached its maximum number of clients that follow guest logs."
        "End one of them.";
    too_many_event_streams [429]
        "The tenant has reached its maximum number of event streams."
        "Close one of them.";
    too_many_tenants [409]
        "The server has reached its maximum number of tenants."
        "Delete a tenant first.";
    tenant_exists [409]
        "The tenant exists already, and `If-None-Match: *` asks for a new one. Nothing was changed."
        "Choose another name, or update the tenant with its whole policy.";
    name_invalid [422]
        "The name is invalid."
        "Use 1 to 63 of a-z, 0-9 and -, and do not begin with -.";
    limits_invalid [422]
        "A limit is invalid. `detail` names it."
        "Correct the value that `detail` names.";
}
