# requires: requests aiohttp PyYAML typing-extensions
# requires without dependencies: paddleocr==3.7.0
"""The client of PaddleOCR's Job API, without the inference that its package would import."""

import importlib.util
import pathlib
import sys
import types

# The package itself imports all of PaddleX; its API client needs none of it.
spec = importlib.util.find_spec("paddleocr")
package = types.ModuleType("paddleocr")
package.__path__ = list(spec.submodule_search_locations)
sys.modules["paddleocr"] = package

from paddleocr._api_client.client import PaddleOCRClient  # noqa: E402
from paddleocr._api_client.errors import PaddleOCRAPIError  # noqa: E402

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
