"""Azure's SDK: paperless-ngx's calls (base64, text, polling, the PDF), bytes and Markdown, deletion, errors."""

import pathlib
import sys

from azure.ai.documentintelligence import DocumentIntelligenceClient
from azure.ai.documentintelligence.models import AnalyzeDocumentRequest, AnalyzeOutputOption, DocumentContentFormat
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

server, pdf, png = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
client = DocumentIntelligenceClient(endpoint=server, credential=AzureKeyCredential("any"))


def as_paperless(document):
    """Makes the calls of paperless-ngx; returns the result, the PDF and the operation."""
    poller = client.begin_analyze_document(
        model_id="prebuilt-read",
        body=AnalyzeDocumentRequest(bytes_source=document.read_bytes()),
        output_content_format=DocumentContentFormat.TEXT,
        output=[AnalyzeOutputOption.PDF],
        content_type="application/json",
    )
    poller.wait()
    operation = poller.details["operation_id"]
    result = poller.result()
    made = b"".join(client.get_analyze_result_pdf(model_id="prebuilt-read", result_id=operation))
    return result, made, operation


result, made, operation = as_paperless(pdf)
assert result.content.strip()
assert made.startswith(b"%PDF-") and b"%%EOF" in made[-1024:], made[:20]
assert len(made) >= pdf.stat().st_size, "the PDF is the document and its text"
for page in result.pages:
    assert page.width > 1 and page.unit == "inch", page
    for line in page.lines:
        span = line.spans[0]
        assert result.content[span.offset : span.offset + span.length] == line.content, line.content
    for word in page.words:
        place = word.span
        assert result.content[place.offset : place.offset + place.length] == word.content, word.content

picture, made, _ = as_paperless(png)
assert picture.content.strip() and made.startswith(b"%PDF-"), picture

with png.open("rb") as file:
    layout = client.begin_analyze_document(
        "prebuilt-layout", body=file, output_content_format=DocumentContentFormat.MARKDOWN
    ).result()
assert layout.content.strip() and layout.pages[0].unit == "pixel"

client.delete_analyze_result("prebuilt-read", operation)
for model, options in (("prebuilt-invoice", {}), ("prebuilt-layout", {"features": ["barcodes"]})):
    try:
        client.begin_analyze_document(model, body=pdf.read_bytes(), **options).result()
    except HttpResponseError as error:
        assert error.status_code in (400, 404), error
    else:
        raise AssertionError(f"{model} {options} was accepted")
try:
    client.get_analyze_result_pdf(model_id="prebuilt-read", result_id=operation)
except HttpResponseError as error:
    assert error.status_code == 404, error
else:
    raise AssertionError("a deleted result has a PDF")
print(f"{len(result.pages)} pages, {len(result.content)} characters, a PDF of {len(made)} bytes for the picture")
