//! The list of problem codes: the only one. Problem responses, the OpenAPI document and the pages under `/problems` are
//! made from it.
//!
//! Owns the HTTP statuses, the description and the remedy of every code that a response may carry. A new code of any
//! crate needs an entry here; a test finds codes without an entry, and entries that nothing sends.

mod entry;

use entry::codes;
pub(crate) use entry::{ProblemCode, title};

/// Returns the entry of a code.
pub(crate) fn find(code: &str) -> Option<&'static ProblemCode> {
    ALL.iter().find(|entry| entry.code == code)
}

codes! {
    compat_unsupported [400]
        "The client of another API asks for something that Lector does not do."
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
    config_invalid [409]
        "The configuration that the server reads again is invalid; nothing was changed. `detail` names the file and the key."
        "Correct the configuration, and reload it again.";
    config_not_reloadable [503]
        "The server cannot reload its configuration: it has none, or it is stopping."
        "Restart the server.";
    option_invalid [400]
        "An option (query, path or header) has an invalid value."
        "Correct the option that `detail` names.";
    guest_option_invalid [400]
        "An option in `guest_options` does not satisfy the schema of the guest that serves the request, or the guest has no options. `detail` names the option, the value and what is allowed."
        "Send what the `options_schema` of the deployment's revision describes.";
    unknown_option [400]
        "The option does not exist. `detail` suggests the closest name."
        "Remove the option, or use the name that `detail` suggests.";
    multipart_invalid [400]
        "The form is malformed, ends too early, or has a part that is not a file."
        "Send a well-formed `multipart/form-data` body; `detail` names the part.";
    file_missing [400]
        "The form contains no file."
        "Send the document as a part named `file`.";
    too_many_files [400]
        "The form has more files than the endpoint accepts."
        "Send one file, or several files to `/api/v1/ocr/batch`.";
    json_too_deep [400]
        "The JSON (the body, or a part of the form) has more than 32 levels."
        "Send JSON with fewer levels.";
    json_too_large [413]
        "The JSON is larger than this request allows: 16384 bytes for keys and routes, 262144 for a tenant policy, 1048576 for the part `settings`, 1310720 for the options of a deploy."
        "Send less. `detail` names the limit.";
    body_incomplete [400]
        "The body ended before its declared end."
        "Send the whole body, with a correct `Content-Length`.";
    body_stalled [408]
        "No byte of the body arrived within the idle timeout."
        "Send the body without pauses, or increase the timeout.";
    body_too_slow [408]
        "The body arrives more slowly than the minimum rate, or did not arrive within the timeout."
        "Send the body faster and without pauses, or increase the timeout.";
    body_too_large [413]
        "The body, or one file of a batch, exceeds the size limit."
        "Send less. `detail` names the limit.";
    pages_failed [422]
        "Some pages failed, and the format cannot report failures."
        "Add `partial=true`, or request JSON.";
    not_acceptable [406]
        "`Accept` names no type that the server can produce."
        "Accept a type that `detail` lists, or send no `Accept`.";
    format_one_page [422]
        "The format holds one page, and the document has several that are selected."
        "Select one page with `pages`, or choose another format.";
    table_too_large [413]
        "A table of the document does not fit into a worksheet."
        "Request fewer pages, or choose another format.";
    export_failed [500]
        "The result could not be written in the requested format."
        "Choose another format; the operator finds the reason in the server log.";
    jobs_disabled [501] "The server has no jobs: its configuration disables them."
        "Send the document to `/api/v1/ocr` or `/api/v1/ocr/batch`.";
    job_not_found [404] "The job does not exist, or belongs to another tenant."
        "Correct the id. A finished job is deleted when its retention is over.";
    job_not_finished [409] "The document has not been read to its end."
        "Wait for the end of the job (`Prefer: wait`, or its events), or request single pages.";
    job_document_not_found [404] "The job has no document with that number."
        "Use a number of the list `documents` of the job; the first is 0.";
    job_page_not_found [404] "The page is not among the pages that were read so far."
        "Follow the events of the job; pages are counted from 1.";
    job_changed [409] "Another request changed the job at the same time."
        "Look at the state of the job, then repeat the request.";
    job_data_damaged [500, 503] "The stored specification, input or result of the job is damaged or missing."
        "Submit the document again; the operator finds the reason in the server log.";
    job_attempts_exhausted [503] "The page or document of a job was given up after repeated attempts that ended with the server or a part of it."
        "Send the document to the operator.";
    job_summary_missing [503] "The pages of the document were read in several turns, so there is no summary. The pages are complete."
        "Use the pages, or send a smaller document.";
    idempotency_key_reused [409] "The idempotency key belongs to a job with other documents or options."
        "Use a new key for another submission.";
    tenant_jobs_exceeded [429]
        "The tenant has its limit of unfinished jobs (`limits.jobs_unfinished_max`, else `jobs.tenant_jobs_max`)."
        "Try again after `Retry-After`, or cancel jobs.";
    tenant_job_bytes_exceeded [429]
        "The tenant's jobs keep as many bytes of documents and results as its limit allows (`limits.jobs_bytes_max`, else \
         `jobs.tenant_bytes_max`)."
        "Delete finished jobs, or try again after `Retry-After`: expired ones are deleted.";
    route_not_found [404]
        "The path does not exist."
        "Correct the path: `/openapi.json` lists all paths.";
    method_not_allowed [405]
        "The path does not support the method. `Allow` lists the supported methods."
        "Use a method of the header `Allow`.";
    problem_not_found [404]
        "No problem has that code."
        "See `/problems` for all codes.";
    connections_full [503]
        "The server has reached its maximum number of connections."
        "Try again after `Retry-After`.";
    internal [500]
        "A defect of Lector."
        "Try again; if the problem persists, report it with the request id.";
    deployment_not_found [404]
        "The deployment does not exist."
        "Correct the name, or leave it out for the default deployment.";
    server_overloaded [503]
        "The server has reached its limit of documents, bytes or pending work."
        "Try again after `Retry-After`.";
    submission_too_large [413]
        "The document is larger than the memory limit for documents, of the server or of the tenant (`limits.held_bytes_max`)."
        "Send a smaller document, or ask the operator to raise the limit.";
    shutting_down [503]
        "The server is shutting down and accepts no new work."
        "Send the request to another server, or again after the restart.";
    deadline_exceeded [504]
        "The timeout expired. `pages` holds the pages that were finished."
        "Increase the timeout, or request fewer pages.";
    document_empty [422]
        "The document has no bytes."
        "Send the bytes of a document.";
    document_unsupported_type [415]
        "The document type is not supported."
        "Send a PDF, PNG, JPEG, TIFF, WebP, BMP or GIF.";
    content_type_mismatch [415]
        "The document is of another type than `Content-Type` declares."
        "Send the matching `Content-Type`.";
    document_too_many_pages [413]
        "The document has more pages than the server accepts."
        "Split the document.";
    too_many_pages [413]
        "The request selects more pages than the server reads of one document."
        "Select fewer pages with `pages`.";
    document_memory_exceeded [413]
        "Reading the document exceeds the memory limit."
        "Repair the file, for example by printing it to a new PDF. It may be damaged or hostile.";
    document_open_crashed [422]
        "The worker process crashed while it opened the document."
        "Repair the file, for example by printing it to a new PDF. It may be damaged or hostile.";
    document_open_timeout [422]
        "Opening the document exceeded the time limit."
        "Simplify or repair the file. It may be damaged or hostile.";
    document_open_cpu_exceeded [422]
        "Opening the document exceeds the limit of processor time (`documents.open_cpu_s`)."
        "Simplify the document, or ask the operator to raise the limit.";
    document_compose_crashed [422]
        "The worker process crashed while it composed the searchable PDF."
        "Request another format, or repair the file, for example by printing it to a new PDF.";
    document_compose_timeout [422]
        "Composing the searchable PDF exceeded the time limit."
        "Request another format, or simplify the document.";
    document_compose_cpu_exceeded [422]
        "Composing the searchable PDF exceeds the limit of processor time (`documents.open_cpu_s` for each step)."
        "Request another format, or ask the operator to raise the limit.";
    document_not_composable [422]
        "The document cannot become a searchable PDF. `detail` says why: it forbids changes, or is damaged and signed."
        "Request another format, or send the document without its protection.";
    document_abandoned [422]
        "The document crashed too many worker processes, and the server stopped reading it."
        "Repair the file, for example by printing it to a new PDF. It may be damaged or hostile.";
    document_worker_failed [500]
        "A document worker failed."
        "Try again; if the problem persists, report it with the request id.";
    documents_busy [503]
        "All document workers are busy."
        "Try again after `Retry-After`.";
    documents_unavailable [503]
        "No document worker is running."
        "Try again later; the operator finds the reason in the server log.";
    pdf_invalid [422]
        "The PDF is damaged or truncated."
        "Send the complete, undamaged file.";
    pdf_no_pages [422]
        "The PDF has no pages."
        "Send a PDF with pages.";
    pdf_password_required [422]
        "The PDF is encrypted."
        "Send the correct password as `X-Document-Password`.";
    pdf_password_wrong [422]
        "The password does not open the PDF."
        "Send the correct password as `X-Document-Password`.";
    pdf_encryption_unsupported [422]
        "The encryption of the PDF is not supported."
        "Send the PDF decrypted.";
    image_invalid [422]
        "The image is damaged or truncated."
        "Send the complete, undamaged file.";
    image_unsupported [422]
        "The image uses a variant of its format that is not supported."
        "Convert the image to PNG.";
    image_too_large [413, 500]
        "The image has more pixels than the server accepts."
        "Scale the image down.";
    page_out_of_range [422]
        "The request selects a page that the document does not have."
        "Select pages that the document has.";
    page_invalid [422]
        "The page is damaged."
        "Repair the file, for example by printing it to a new PDF. It may be damaged or hostile.";
    page_crashed [422]
        "The worker process crashed while it read the page."
        "Repair the file, for example by printing it to a new PDF. It may be damaged or hostile.";
    page_timeout [422]
        "Reading the page exceeded the time limit."
        "Simplify or repair the file. It may be damaged or hostile.";
    page_cpu_exceeded [422]
        "Reading or rendering the page exceeds the limit of processor time (`documents.page_cpu_s`)."
        "Simplify the page, or ask the operator to raise the limit.";
    page_text_crashed [422]
        "The worker process crashed while it read the text of the page."
        "Repair the file, for example by printing it to a new PDF. It may be damaged or hostile.";
    page_text_timeout [422]
        "Reading the text of the page exceeded the time limit."
        "Simplify or repair the file. It may be damaged or hostile.";
    page_render_crashed [422]
        "The worker process crashed while it rendered the page."
        "Repair the file, for example by printing it to a new PDF. It may be damaged or hostile.";
    page_render_timeout [422]
        "Rendering the page exceeded the time limit."
        "Simplify or repair the file. It may be damaged or hostile.";
    page_too_many_pixels [413]
        "The page has too many pixels at the requested resolution. `detail` names a resolution that fits."
        "Request the resolution that `detail` allows.";
    page_too_much_text [413]
        "The page holds more embedded text than the server reads."
        "Request `text_layer=never`.";
    document_result_too_large [413]
        "The results of the document exceed the memory limit of one response."
        "Request fewer pages at a time, or use the batch endpoint.";
    dpi_invalid [422]
        "The resolution is outside the supported range."
        "Request the resolution that `detail` allows.";
    summary_too_large [413]
        "The document has too much text for a summary. The results of its pages are complete."
        "Use the results of the pages, or request fewer pages.";
    tenant_images_exceeded [503]
        "The pages of the tenant in progress hold all the bytes of pixels and tensors that it may hold (`limits.images_bytes_max`)."
        "Try again after `Retry-After`, or request fewer pages at a time.";
    guest_trapped [500, 422]
        "The guest crashed on the page."
        "Report the page to the author of the deployment, or use another deployment.";
    guest_compute_exceeded [422]
        "The guest exceeded the compute time of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask the author of the deployment to raise its `budget`.";
    guest_deadline [504]
        "The guest exceeded its time for the page."
        "Increase the timeout or the budget of the deployment, or request fewer pages.";
    guest_host_calls_exceeded [422]
        "The guest exceeded the number of host calls of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask the author of the deployment to raise its `budget`.";
    guest_memory_exceeded [422]
        "The guest exceeded the memory of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask the author of the deployment to raise its `budget`.";
    guest_host_memory_exceeded [422]
        "The guest exceeded the bytes of pixels and tensors of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask the author of the deployment to raise its `budget`.";
    guest_handles_exceeded [422]
        "The guest exceeded the number of handles of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask the author of the deployment to raise its `budget`.";
    guest_result_too_large [422]
        "The result of the guest exceeds the size limit of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask the author of the deployment to raise its `budget`.";
    guest_answer_invalid [500, 422]
        "The result of the guest is invalid."
        "Report the page to the author of the deployment, or use another deployment.";
    guest_error_invalid [500]
        "The guest returned the error `invalid`."
        "Report the page to the author of the deployment, or use another deployment.";
    language_not_installed [422]
        "The request names a language in `languages` that is not installed on the server. `detail` names the package."
        "Leave the language out, or ask the operator to install it.";
    guest_error_unreadable [422]
        "The guest reported that the page cannot be read."
        "Send a page that can be read, for example with a higher resolution.";
    guest_error_too_large [413, 500]
        "The guest reported that an input is too large."
        "Send a smaller page.";
    guest_error_denied [500]
        "The guest reported that an operation was denied."
        "Report the page to the author of the deployment, or use another deployment.";
    guest_error_busy [503]
        "The guest reported that a resource was busy."
        "Try again after `Retry-After`.";
    guest_error_deadline [504]
        "The guest reported that its deadline passed."
        "Increase the timeout or the budget of the deployment, or request fewer pages.";
    guest_error_failed [500, 422]
        "The guest reported a failure."
        "Report the page to the author of the deployment, or use another deployment.";
    pipeline_not_wrapped [500]
        "The guest called the pipeline that it wraps, and its deployment wraps none."
        "Report the page to the author of the deployment, or use another deployment.";
    pipeline_too_deep [422, 503]
        "The pipelines that a guest wraps nest too deeply, or their instances do not fit into the server's instance pool."
        "Deploy the guest over a pipeline with fewer wraps.";
    render_dpi_invalid [422, 500]
        "The guest requested an invalid resolution."
        "Report the page to the author of the deployment, or use another deployment.";
    image_argument_invalid [500]
        "The guest requested an invalid image operation."
        "Report the page to the author of the deployment, or use another deployment.";
    image_operation_failed [500]
        "An image operation failed in the host."
        "Try again; if the problem persists, report it with the request id.";
    engine_queue_full [503]
        "The queue of the model is full."
        "Try again after `Retry-After`.";
    engine_deadline [504]
        "The deadline passed while the run waited for the model."
        "Increase the timeout or the budget of the deployment, or request fewer pages.";
    engine_stopped [503]
        "The model is no longer served because the server is shutting down."
        "Send the request to another server, or again after the restart.";
    engine_run_failed [500]
        "The run of the model failed."
        "Try again; if the problem persists, report it with the request id.";
    engine_lost [500]
        "The engine of the model was lost."
        "Try again; if the problem persists, report it with the request id.";
    model_not_found [500]
        "The guest requested a model that is not served, or a deployment grants a model that is not in the catalog."
        "Use a model that `GET /api/v1/engines` lists, or ask the operator to add it.";
    model_unknown [404]
        "The catalog has no model with that name."
        "Use a model that `GET /api/v1/engines` lists, or ask the operator to add it.";
    model_unavailable [503]
        "A model cannot be loaded: its weights are missing or modified, or no engine can be built from them."
        "Ask the operator to repair the model: `lector models verify`.";
    model_without_engine [500]
        "The guest is granted a model that this server does not serve."
        "Use a model that `GET /api/v1/engines` lists, or ask the operator to add it.";
    model_input_invalid [500]
        "The guest passed a model an input that it does not accept."
        "Report the page to the author of the deployment, or use another deployment.";
    model_output_invalid [500]
        "The guest requested an output that the model does not have."
        "Report the page to the author of the deployment, or use another deployment.";
    model_labels_too_many [500]
        "The guest requested too many labels at once."
        "Report the page to the author of the deployment, or use another deployment.";
    model_not_granted [500]
        "The guest requested a model that it is not granted."
        "Report the page to the author of the deployment, or use another deployment.";
    runtime_busy [503]
        "The server has reached its maximum number of guest instances."
        "Try again after `Retry-After`.";
    runtime_defect [500]
        "The server failed while it ran the guest."
        "Try again; if the problem persists, report it with the request id.";
    budget_invalid [422]
        "A member of the budget is 0, so that no guest could run."
        "Send a budget with all members above 0.";
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
        "The pending work of the tenant exceeds its share of the server."
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
        "The compiler process could not be started. The server log has the reason."
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
        "Send fewer levels or less.";
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
        "Send fewer levels or less.";
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
        "The tenant has reached its maximum number of deployments, or the deployment its maximum number of revisions."
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
        "`percent` is missing or outside its range: an integer, of 100."
        "Correct the value that `detail` names.";
    rollback_policy_invalid [422]
        "A rollback policy has an invalid member: `error_rate_max` is 0 to 1, and `pages_min` is 1 or more."
        "Correct the value that `detail` names.";
    route_changed [409]
        "Another request changed the same resource at the same time. Try again."
        "Read the deployment, and try again.";
    precondition_failed [412]
        "The route of the deployment is not the one that `If-Match` or `expected_revision` names: another request changed it."
        "Read the deployment, decide again, and send its `ETag` or its live revision.";
    storage_full [503]
        "The disk of the server is full. Nothing was changed; documents are still read."
        "The operator frees space on the disk.";
    storage_read_only [503]
        "The server cannot write its data folder. Nothing was changed; documents are still read."
        "The operator repairs the data folder; the server log has the reason.";
    storage_damaged [503]
        "A record or a component in the data folder of the server is damaged."
        "The operator repairs the data folder; the server log has the reason.";
    storage_unavailable [503]
        "The server could not access its store."
        "The operator repairs the data folder; the server log has the reason.";
}

#[cfg(test)]
mod tests;
