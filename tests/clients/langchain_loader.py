"""LangChain's loader of documents, by PaddleOCR's Job API."""

import sys

import light_paddleocr  # noqa: F401, I001
from langchain_paddleocr import PaddleOCRVLLoader
from pydantic import SecretStr

server, pdf, png = sys.argv[1], sys.argv[2], sys.argv[3]
documents = PaddleOCRVLLoader([pdf, png], access_token=SecretStr("any"), base_url=server).load()
assert [document.metadata["source"] for document in documents] == [pdf, png]
assert all(document.page_content.strip() for document in documents), documents
pages = documents[0].metadata["paddleocr_vl_raw_response"]["pages"]
assert pages and all(page["markdown_images"] == {} for page in pages), pages
print(f"{len(documents)} documents, {len(pages)} pages")
