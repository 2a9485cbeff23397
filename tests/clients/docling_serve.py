"""docling's own client: conversion of files, polling, and DoclingDocument as docling-core validates it."""

import pathlib
import sys

from docling.service_client import DoclingServiceClient, StatusWatcherKind

server, pdf, png = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
with DoclingServiceClient(server, api_key="any", status_watcher=StatusWatcherKind.POLLING) as client:
    result = client.convert(pdf)
    markdown = result.document.export_to_markdown()
    assert markdown.strip() and len(result.document.pages) >= 1, markdown
    first = client.convert(pdf, page_range=(1, 1))
    assert list(first.document.pages) == [1], first.document.pages
    assert client.convert(png).document.export_to_markdown().strip()
    try:
        client.convert("https://example.org/a.pdf")
    except Exception as error:  # noqa: BLE001
        assert "URL" in str(error), error
    else:
        raise AssertionError("a URL of another server was read")
print(f"{len(result.document.pages)} pages, {len(result.document.texts)} texts")
