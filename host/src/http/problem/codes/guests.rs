//! Guests, and the models that they run.

use super::entry::{ProblemCode, codes};

codes! {
    guest_trapped [500, 422]
        "The guest crashed on the page."
        "Report the page to the author of the deployment, or use another deployment.";
    guest_compute_exceeded [422]
        "The guest exceeded the compute time of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask an administrator for a larger budget: the smaller one of the deployment's `budget` and the tenant's `limits.budget` applies.";
    guest_deadline [504]
        "The guest exceeded its time for the page."
        "Increase the timeout, or `wall_ms` of both the deployment's `budget` and the tenant's `limits.budget`, or request fewer pages.";
    guest_host_calls_exceeded [422]
        "The guest exceeded the number of host calls of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask an administrator for a larger budget: the smaller one of the deployment's `budget` and the tenant's `limits.budget` applies.";
    guest_memory_exceeded [422]
        "The guest exceeded the memory of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask an administrator for a larger budget: the smaller one of the deployment's `budget` and the tenant's `limits.budget` applies.";
    guest_host_memory_exceeded [422]
        "The guest exceeded the bytes of pixels and tensors of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask an administrator for a larger budget: the smaller one of the deployment's `budget` and the tenant's `limits.budget` applies.";
    guest_handles_exceeded [422]
        "The guest exceeded the number of handles of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask an administrator for a larger budget: the smaller one of the deployment's `budget` and the tenant's `limits.budget` applies.";
    guest_result_too_large [422]
        "The result of the guest exceeds the size limit of its budget."
        "Send a smaller page or request a lower resolution (`dpi`), or ask an administrator for a larger budget: the smaller one of the deployment's `budget` and the tenant's `limits.budget` applies.";
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
        "Increase the timeout, or `wall_ms` of both the deployment's `budget` and the tenant's `limits.budget`, or request fewer pages.";
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
        "Increase the timeout, or `wall_ms` of both the deployment's `budget` and the tenant's `limits.budget`, or request fewer pages.";
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
}
