"""Haystack's converters: docling-serve (synchronous and asynchronous), and PaddleOCR by its Job API."""

import os
import sys

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
import light_paddleocr  # noqa: E402, F401, I001
from haystack.utils import Secret  # noqa: E402
from haystack_integrations.components.converters.docling_serve import DoclingServeConverter  # noqa: E402
from haystack_integrations.components.converters.paddleocr import PaddleOCRVLDocumentConverter  # noqa: E402

server, pdf, png = sys.argv[1], sys.argv[2], sys.argv[3]
token = Secret.from_token("any")
texts = []
for mode in ("sync", "async"):
    converter = DoclingServeConverter(base_url=server, api_key=token, mode=mode)
    documents = converter.run(sources=[pdf, png])["documents"]
    assert len(documents) == 2 and all(document.content.strip() for document in documents), documents
    texts.append([document.content for document in documents])
assert texts[0] == texts[1], texts
read = PaddleOCRVLDocumentConverter(base_url=server, access_token=token).run(sources=[pdf])
assert len(read["documents"]) == 1 and read["documents"][0].content.strip(), read
pages = read["documents"][0].content.count("\f") + 1
print(f"{pages} pages, {len(texts[0][0])} characters")
