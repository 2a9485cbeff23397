"""Text and angles of a page."""

from __future__ import annotations

import math
from xml.etree import ElementTree

_LINES = {"ocr_line", "ocr_header", "ocr_footer", "ocr_caption", "ocr_textfloat"}


def text(hocr: bytes) -> str:
    """Returns the text in reading order: a line feed after each line, an empty line between paragraphs."""
    root = ElementTree.fromstring(hocr)
    paragraphs = []
    for paragraph in root.iter("{http://www.w3.org/1999/xhtml}p"):
        if paragraph.get("class") != "ocr_par":
            continue
        lines = (line for line in paragraph.iter() if line.get("class") in _LINES)
        paragraphs.append("".join(f"{_line(line)}\n" for line in lines))
    return "\n".join(paragraphs)


def _line(line: ElementTree.Element) -> str:
    return " ".join("".join(word.itertext()) for word in line.iter() if word.get("class") == "ocrx_word")


def deskew_degrees(lines: list[dict]) -> float:
    """Returns the angle by which the page must be turned counter-clockwise, so that its lines are level: the median of
    the lines, weighted by their length. Quarter turns of the page do not count."""
    angles = []
    for line in lines:
        (left, right, *_) = line["quad"]
        x, y = right[0] - left[0], right[1] - left[1]
        length = math.hypot(x, y)
        if length > 0:
            angle = math.degrees(math.atan2(y, x))
            angles.append((angle - 90 * round(angle / 90), length))
    angles.sort()
    half = sum(length for _, length in angles) / 2
    passed = 0.0
    for angle, length in angles:
        passed += length
        if passed >= half:
            return angle
    return 0.0
