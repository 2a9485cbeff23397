//! Documents and their pages.

use super::entry::{ProblemCode, codes};

codes! {
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
}
