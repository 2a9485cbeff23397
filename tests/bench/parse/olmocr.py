#!/usr/bin/env python3
"""Run the tests of olmOCR-bench other than math (present, absent, order, table); prints JSON.

usage: olmocr.py --truth FOLDER (--server URL [--text-layer never] | --native BINARY [--rules none|drawn|pixels]) [--failed]
needs: numpy, pypdfium2, rapidfuzz

FOLDER holds dataset.jsonl and the PDFs; tests of PDFs that are not there are counted apart. A text is the blocks of a page in order, furniture left out, a space between them. Texts
match where they differ in at most `max_diffs` characters, in case and white space not at all. With --native, PDFs without
embedded text fail, as no pixels are read.
"""
import argparse
import collections
import json
import pathlib
import re

from rapidfuzz import fuzz

import answers

FURNITURE = {"header", "footer", "page-number"}
SIDES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


def plain(text):
    text = re.sub(r"[‘’]", "'", re.sub(r"[“”]", '"', text or ""))
    return " ".join(re.sub(r"[‐‑–—]", "-", text).split()).lower()


def find(needle, text, diffs):
    """Start of the best match within the allowed differences, or -1."""
    needle = plain(needle)
    if not needle:
        return -1
    found = fuzz.partial_ratio_alignment(needle, text)
    least = 100.0 * (1 - max(diffs, 0) / len(needle)) - 1e-6
    return found.dest_start if found and found.score >= least and len(text) >= len(needle) - diffs else -1


def grid_of(block):
    table = block["table"]
    grid = [[""] * table["columns"] for _ in range(table["rows"])]
    for cell in table["cells"]:
        for row in range(cell["row"], cell["row"] + cell["row_span"]):
            for column in range(cell["column"], cell["column"] + cell["column_span"]):
                grid[row][column] = plain(cell["text"])
    return grid


def table_holds(test, grid):
    def same(a, b):
        return fuzz.ratio(plain(a), b) >= 100.0 * (1 - test.get("max_diffs", 0) / max(1, len(plain(a)))) - 1e-6

    for row, cells in enumerate(grid):
        for column, text in enumerate(cells):
            if not same(test["cell"], text):
                continue
            near = [
                0 <= row + y < len(grid) and 0 <= column + x < len(cells) and same(test[side], grid[row + y][column + x])
                for side, (y, x) in SIDES.items()
                if test.get(side)
            ]
            above = [any(same(test["top_heading"], grid[r][column]) for r in range(row))] if test.get("top_heading") else []
            before = [any(same(test["left_heading"], cells[c]) for c in range(column))] if test.get("left_heading") else []
            if all(near + above + before):
                return True
    return False


def passes(test, blocks):
    shown = [block for block in blocks if block["kind"] not in FURNITURE]
    text = plain(" ".join(block["text"] for block in shown))
    if test.get("first_n"):
        text = text[: test["first_n"]]
    if test.get("last_n"):
        text = text[-test["last_n"] :]
    diffs = test.get("max_diffs", 0)
    if test["type"] == "present":
        return find(test["text"], text, diffs) >= 0
    if test["type"] == "absent":
        return find(test["text"], text, diffs) < 0
    if test["type"] == "order":
        before, after = find(test["before"], text, diffs), find(test["after"], text, diffs)
        return 0 <= before < after
    return any(table_holds(test, grid_of(block)) for block in shown if block["table"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", required=True)
    parser.add_argument("--most", type=int, help="documents to read at most")
    parser.add_argument("--failed", action="store_true", help="list the tests that fail")
    answers.add_arguments(parser)
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.truth)
    lines = (folder / "dataset.jsonl").read_text(encoding="utf-8").splitlines()
    tests = [test for test in map(json.loads, filter(str.strip, lines)) if test["type"] != "math"]
    if arguments.most:
        there = [name for name in dict.fromkeys(test["pdf"] for test in tests) if (folder / name).exists()]
        tests = [test for test in tests if test["pdf"] in there[: arguments.most]]
    pages = {}
    passed, all_of, missing, failed = collections.Counter(), collections.Counter(), collections.Counter(), []
    for test in tests:
        name = test["pdf"]
        if not (folder / name).exists():
            missing[name] += 1
            continue
        if name not in pages:
            pages[name] = answers.of_document(arguments, folder / name)
        blocks = pages[name][test["page"] - 1] if test["page"] <= len(pages[name]) else []
        good = passes(test, blocks)
        passed[test["type"]] += good
        all_of[test["type"]] += 1
        if not good:
            failed.append(test["id"])
    counts = {kind: [passed[kind], all_of[kind]] for kind in sorted(all_of)}
    out = {"passed": passed.total(), "tests": all_of.total(), "by_type": counts, "without_pdf": dict(missing)}
    print(json.dumps(out | ({"failed": failed} if arguments.failed else {}), indent=1))


if __name__ == "__main__":
    main()
