"""LiteLLM's function `ocr`, with the address that its proxy would have."""

import base64
import os
import pathlib
import sys

# Otherwise the package fetches its list of prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm  # noqa: E402

server, pdf = sys.argv[1], pathlib.Path(sys.argv[2])
url = "data:application/pdf;base64," + base64.b64encode(pdf.read_bytes()).decode()
for base in (server, server + "/v1"):
    answer = litellm.ocr(
        model="mistral/mistral-ocr-latest",
        document={"type": "document_url", "document_url": url},
        api_base=base,
        api_key="any",
    )
    assert any(page.markdown.strip() for page in answer.pages), answer
print(f"{len(answer.pages)} pages")
