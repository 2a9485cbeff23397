"""The blocks of documents, from a server or from the native example: [[block, ..] for each page].

A block: {"kind", "level", "box" (points, y down), "text", "rows", "table"}. Kinds are those of the JSON answer, with hyphens.
"""
import json
import re
import shlex
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import pypdfium2

import words

# Requests that the server refuses because it is busy are sent again, at most as often as this.
BUSY_RETRIES = 60


def add_arguments(parser):
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--server", help="address of a server, such as http://127.0.0.1:8080")
    source.add_argument("--native", help="the example `structure` of lector-vision, built; born-digital pages only")
    parser.add_argument("--text-layer", default="auto", help="with --server: auto, never (from pixels), only")
    parser.add_argument("--pages", help="with --server: pages to read, such as 1-20; default all")
    parser.add_argument(
        "--layer",
        help="with --native: the example `text_layer` of lector-document, built, and the folder of libpdfium.so, in quotes; "
        "words and drawn lines as the host gives them",
    )
    parser.add_argument(
        "--rules",
        choices=("none", "drawn", "pixels"),
        default="pixels",
        help="with --native: no drawn lines, those of the PDF, or those found in a rendering as the standard guest does",
    )


def of_document(arguments, path):
    if arguments.native:
        return of_native(arguments, path)
    return of_server(arguments.server, path, arguments.text_layer, arguments.pages)


def of_native(arguments, path):
    with tempfile.TemporaryDirectory() as folder:
        if arguments.layer:
            command = [*shlex.split(arguments.layer), str(path)]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        else:
            document = pypdfium2.PdfDocument(path)
            pages = (words.page_of(document, at, arguments.rules, folder) for at in range(len(document)))
            lines = "\n".join(json.dumps(page) for page in pages)
        done = subprocess.run([arguments.native], input=lines, capture_output=True, text=True, check=True)
    pages = [json.loads(line)["blocks"] for line in done.stdout.splitlines()]
    for block in (block for page in pages for block in page):
        block["kind"] = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", block["kind"]).lower()
    return pages


def of_server(server, path, text_layer, pages=None):
    with open(path, "rb") as file:
        return of_bytes(server, file.read(), "application/pdf", text_layer, pages)


def of_bytes(server, data, media_type, text_layer, pages=None):
    query = {"text_layer": text_layer, **({"pages": pages} if pages else {})}
    return [of_page(page) for page in json.loads(ask(server, data, media_type, query))["pages"]]


def ask(server, data, media_type, query, accept="application/json", deployment=None):
    """The answer of the server as bytes. Waits while the server is busy."""
    if deployment:
        query = {**query, "deployment": deployment}
    request = urllib.request.Request(
        f"{server}/api/v1/ocr?{urllib.parse.urlencode(query)}",
        data=data,
        headers={"Content-Type": media_type, "Accept": accept},
    )
    for _ in range(BUSY_RETRIES):
        try:
            with urllib.request.urlopen(request, timeout=3600) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                raise RuntimeError(f"status {error.code}: {error.read().decode(errors='replace')}") from error
            time.sleep(float(error.headers.get("Retry-After", 1)))
    raise RuntimeError("the server stayed busy")


def of_page(page):
    rows = {}
    for line in page.get("lines", []):
        rows.setdefault(line["block_id"], []).append(line["text"])
    points = 72.0 / page.get("dpi", 72.0)
    found = []
    for block in page.get("blocks", []):
        xs, ys = [p[0] * points for p in block["quad"]], [p[1] * points for p in block["quad"]]
        own = rows.get(block["id"], [])
        properties = block.get("properties", {})
        found.append(
            {
                "kind": block["kind"].replace("_", "-"),
                "level": block.get("level", 0),
                "box": [min(xs), min(ys), max(xs), max(ys)],
                "text": properties.get("text") or " ".join(own),
                "rows": own,
                "table": block.get("table"),
            }
        )
    return found
