"""PaddleOCR's SDK: its client of the Job API."""

import sys

import light_paddleocr  # noqa: F401, I001
from paddleocr._api_client.client import PaddleOCRClient
from paddleocr._api_client.errors import PaddleOCRAPIError

server, pdf, png = sys.argv[1], sys.argv[2], sys.argv[3]
client = PaddleOCRClient(token="any", base_url=server)

lines = client.ocr(file_path=pdf)
texts = [text for page in lines.pages for text in page.pruned_result["rec_texts"]]
assert texts, lines
document = client.parse_document(file_path=pdf)
assert any(page.markdown_text.strip() for page in document.pages), document
assert len(document.pages) == len(lines.pages)
assert client.ocr(file_path=png, model="PP-OCRv5").pages[0].pruned_result["rec_texts"]
first = client.ocr(file_path=pdf, page_ranges="1", batch_id="b1")
assert len(first.pages) == 1
assert len(client.get_batch_status("b1").jobs) == 1
try:
    client.ocr(file_url="https://example.org/a.png")
except PaddleOCRAPIError as error:
    assert "URL" in str(error), error
else:
    raise AssertionError("a URL of another server was read")
print(f"{len(lines.pages)} pages, {len(texts)} lines")
