//! Requests of the APIs of other software, and the files that their clients upload.

use super::entry::{ProblemCode, codes};

codes! {
    compat_unsupported [400]
        "The request uses a feature of the other API that Lector does not support."
        "Remove the part of the request that the message names.";
    compat_url_refused [400]
        "The request of another API names a document by a URL of another server."
        "Send the bytes of the document: in the form, or as base64.";
    compat_model_not_found [404]
        "The client of another API names a model or a version of it that the tenant cannot use."
        "Use a model that `POST /v2/repository/index` lists, or ask an administrator to grant it.";
    compat_model_not_ready [503]
        "The client of another API names a model that no deployment has loaded."
        "Deploy a guest that uses the model, or try again while one is loading it.";
    file_not_found [404]
        "The uploaded file does not exist, has expired, or belongs to another tenant."
        "Upload the file again.";
    compat_task_not_found [404]
        "The asynchronous call does not exist, has expired, or belongs to another tenant."
        "Send the document again.";
    compat_task_not_finished [404]
        "The asynchronous call has not finished."
        "Ask for its status until it has finished.";
    tenant_files_exceeded [429]
        "The tenant's uploaded files have reached their limit (`compat.tenant_files_bytes_max`)."
        "Delete files that were read, or try again after `Retry-After`.";
}
