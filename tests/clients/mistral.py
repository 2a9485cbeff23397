"""Mistral's SDK: upload, signed URL, OCR by file, by URL and by base64, delete."""

import base64
import pathlib
import sys

from mistralai.client import Mistral

server, pdf, png = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
client = Mistral(api_key="any", server_url=server)

names = [model.id for model in client.models.list().data]
assert "mistral-ocr-latest" in names, names

file = client.files.upload(file={"file_name": pdf.name, "content": pdf.read_bytes()}, purpose="ocr")
assert client.files.retrieve(file_id=file.id).filename == pdf.name
assert file.id in [one.id for one in client.files.list().data]
url = client.files.get_signed_url(file_id=file.id).url


def read(document, **options):
    answer = client.ocr.process(model="mistral-ocr-latest", document=document, **options)
    assert answer.usage_info.pages_processed == len(answer.pages)
    return answer.pages


pages = read({"type": "document_url", "document_url": url})
assert len(pages) >= 1 and any(page.markdown.strip() for page in pages), pages
assert pages[0].dimensions.width > 100
assert [page.markdown for page in read({"type": "file", "file_id": file.id})] == [page.markdown for page in pages]
first = read({"type": "document_url", "document_url": url}, pages=[0])
assert [page.index for page in first] == [0]
picture = "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode()
assert read({"type": "image_url", "image_url": picture})[0].markdown.strip()
assert client.files.download(file_id=file.id).read() == pdf.read_bytes()
assert client.files.delete(file_id=file.id).deleted

try:
    read({"type": "document_url", "document_url": "https://example.org/a.pdf"})
except Exception as error:  # noqa: BLE001
    assert "URL" in str(error), error
else:
    raise AssertionError("a URL of another server was read")
print(f"{len(pages)} pages: {pages[0].markdown[:40]!r}")
