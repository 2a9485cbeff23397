"""The parts of PaddleOCR's MCP server that call PaddleX serving: `/ocr` and `/layout-parsing`, parsed as it parses them."""

import asyncio
import sys

import light_paddleocr  # noqa: F401, I001
from paddleocr_mcp.inference.ocr.self_hosted import OCRSelfHostedInference
from paddleocr_mcp.inference.pp_structurev3.self_hosted import PPStructureV3SelfHostedInference
from paddleocr_mcp.inference.types import InferenceRequest

server, pdf, png = sys.argv[1], sys.argv[2], sys.argv[3]


async def read(kind, path, file_type):
    inference = kind(server)
    await inference.start()
    try:
        return await inference.predict(InferenceRequest(path, file_type))
    finally:
        await inference.stop()


async def main():
    lines = await read(OCRSelfHostedInference, pdf, "pdf")
    assert lines.text.strip() and len(lines.text_lines) > 1 and 0 < lines.confidence <= 1, lines
    assert all(len(line.bbox) == 4 for line in lines.text_lines), lines
    # Without a type, as for a file without an extension.
    picture = await read(OCRSelfHostedInference, png, None)
    assert picture.text.strip(), picture
    layout = await read(PPStructureV3SelfHostedInference, pdf, "pdf")
    assert layout.markdown.strip() and layout.pages >= 1 and layout.images_mapping == {}, layout
    print(f"{layout.pages} pages, {len(lines.text_lines)} lines")


asyncio.run(main())
