"""Reads invoices: wraps another deployment, and finds number, date, total and IBAN in the lines that it reads.

`lector guest build` generates the module `wit_world` from the contract in `lector/wit`, and writes it to `target/bindings` for
your editor. Every page has an instance of its own: nothing carries over in global variables.
"""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import document, pipeline, settings
from wit_world.imports.geometry import Point, Quad
from wit_world.imports.model import Finding, Line, Transcript
from wit_world.imports.pipeline_types import ConfigError, PipelineInfo, Request, Summary

# A label with its value in the same line.
NUMBER = re.compile(r"\binvoice (?:no\.?|number)[ :]*(\S+)", re.IGNORECASE)
TOTAL = re.compile(r"\btotal(?: due)?[ :]*([0-9][0-9.,']*) ?(EUR|USD|GBP|CHF)\b", re.IGNORECASE)
DATE = re.compile(r"\b(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))\b")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")


class Pipeline(exports.Pipeline):
    """The exports of the world `wrapper`."""

    def configure(self, settings: str) -> PipelineInfo:
        options(settings)
        inner = pipeline.configure("{}")
        return PipelineInfo([], [], [*inner.features, "findings"])

    async def recognize(self, page: document.Page, request: Request) -> Transcript:
        chosen = options(settings.get())
        transcript = await pipeline.recognize(page.share(), request)
        fields = {}
        for index, line in enumerate(transcript.lines):
            for kind, (start, end), value in values(line.text):
                if kind in fields or kind not in chosen["fields"]:
                    continue
                fields[kind] = value
                transcript.findings.append(
                    Finding(kind, line.text[start:end], value, line.confidence, [index], part(line, start, end))
                )
        transcript.properties = json.dumps({"invoice": fields}, sort_keys=True, separators=(",", ":"))
        return transcript

    async def assemble(self, pages: document.Transcripts) -> Summary:
        return await pipeline.assemble(pages)


FIELDS = ["number", "date", "total", "iban"]


def options(text: str) -> dict:
    """Checks the settings: `fields`, the ones to find (default: all)."""
    given = json.loads(text)
    for name in given:
        if name != "fields":
            raise Err(ConfigError(f"/{name}", "is no setting; the settings are: fields"))
    fields = given.get("fields", FIELDS)
    if not isinstance(fields, list) or any(field not in FIELDS for field in fields):
        raise Err(ConfigError("/fields", f"must be a list of {', '.join(FIELDS)}"))
    return {"fields": fields}


def values(text: str):
    """Yields kind, place in the text, and normal form of each value of a line."""
    if found := NUMBER.search(text):
        yield "number", found.span(1), found[1]
    if found := DATE.search(text):
        yield "date", found.span(1), found[1]
    if found := TOTAL.search(text):
        yield "total", (found.start(1), found.end(2)), f"{decimal(found[1])} {found[2].upper()}"
    for found in IBAN.finditer(text):
        number = found[0].replace(" ", "")
        if int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1:
            yield "iban", found.span(), number
            break


def decimal(text: str) -> str:
    """Writes `1.234,50` and `1,234.50` as `1234.50`."""
    digits = re.sub(r"[.,']", "", text)
    return f"{digits[:-2]}.{digits[-2:]}" if re.search(r"[.,]\d\d$", text) else digits


def part(line: Line, start: int, end: int) -> Quad:
    """Returns the quad of some characters, as if all characters of the line had one width."""
    length = max(len(line.text), 1)

    def along(a: Point, b: Point, share: float) -> Point:
        return Point(a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share)

    quad = line.quad
    return Quad(
        along(quad.top_left, quad.top_right, start / length),
        along(quad.top_left, quad.top_right, end / length),
        along(quad.bottom_left, quad.bottom_right, end / length),
        along(quad.bottom_left, quad.bottom_right, start / length),
    )
