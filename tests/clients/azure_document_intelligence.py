# requires: azure-ai-documentintelligence==1.0.2
"""Azure's SDK: base64 and bytes, text and Markdown, polling, deletion, errors."""

import pathlib
import sys

from azure.ai.documentintelligence import DocumentIntelligenceClient
from azure.ai.documentintelligence.models import AnalyzeDocumentRequest, DocumentContentFormat
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

server, pdf, png = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
client = DocumentIntelligenceClient(endpoint=server, credential=AzureKeyCredential("any"))

poller = client.begin_analyze_document(
    model_id="prebuilt-read",
    body=AnalyzeDocumentRequest(bytes_source=pdf.read_bytes()),
    output_content_format=DocumentContentFormat.TEXT,
    content_type="application/json",
)
result = poller.result()
assert poller.details["operation_id"]
assert result.content.strip()
for page in result.pages:
    assert page.width > 1 and page.unit == "inch", page
    for line in page.lines:
        span = line.spans[0]
        assert result.content[span.offset : span.offset + span.length] == line.content, line.content
    for word in page.words:
        place = word.span
        assert result.content[place.offset : place.offset + place.length] == word.content, word.content

with png.open("rb") as file:
    layout = client.begin_analyze_document(
        "prebuilt-layout", body=file, output_content_format=DocumentContentFormat.MARKDOWN
    ).result()
assert layout.content.strip() and layout.pages[0].unit == "pixel"

for model, options in (("prebuilt-invoice", {}), ("prebuilt-layout", {"features": ["barcodes"]})):
    try:
        client.begin_analyze_document(model, body=pdf.read_bytes(), **options).result()
    except HttpResponseError as error:
        assert error.status_code in (400, 404), error
    else:
        raise AssertionError(f"{model} {options} was accepted")
print(f"{len(result.pages)} pages, {len(result.content)} characters")
