//! The form of a request and of its response: options, bodies, formats; the reload of the configuration.

use super::entry::{ProblemCode, codes};

codes! {
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
}
