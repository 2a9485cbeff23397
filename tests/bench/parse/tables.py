#!/usr/bin/env python3
"""Score tables against ICDAR 2013 (NAME.pdf, NAME-reg.xml, NAME-str.xml); prints JSON.

usage: tables.py --truth FOLDER (--server URL [--text-layer never] | --native BINARY [--layer "PROGRAM FOLDER" | --rules none|drawn|pixels]) [--worst N]
needs: lxml, numpy, pypdfium2, rapidfuzz

Of each true table the found table that overlaps most is compared; a table that was not found counts 0, so that the scores
include detection. `false`: found tables of which less than 30 % lies in a true one. Tables over several pages are left out.
"""
import argparse
import json
import pathlib

import pypdfium2
from lxml import etree

import answers
from teds import rows_of, teds


def overlap(a, b):
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def area(box):
    return max(1e-6, (box[2] - box[0]) * (box[3] - box[1]))


def box_of(region, document):
    page = int(region.get("page")) - 1
    corners = region.find("bounding-box")
    x1, y1, x2, y2 = (float(corners.get(name)) for name in ("x1", "y1", "x2", "y2"))
    height = document[page].get_height()
    return page, [x1, height - y2, x2, height - y1]


def cells_of(region):
    """Cells that cover the grid, or None where the truth overlaps itself."""
    cells = []
    for cell in region.iter("cell"):
        row, column = int(cell.get("start-row")), int(cell.get("start-col"))
        last = int(cell.get("end-row") or row), int(cell.get("end-col") or column)
        cells.append((row, column, *last, (cell.findtext("content") or "").strip()))
    slots = [(r, c) for a, b, d, e, _ in cells for r in range(a, d + 1) for c in range(b, e + 1)]
    if not cells or len(set(slots)) < len(slots):
        return None
    rows, columns = max(r for r, _ in slots) + 1, max(c for _, c in slots) + 1
    free = {(r, c) for r in range(rows) for c in range(columns)} - set(slots)
    return cells + [(r, c, r, c, "") for r, c in free], rows


def truth_of(path):
    """True tables as (id, page, box, rows), and the regions of all tables by page."""
    document = pypdfium2.PdfDocument(path)
    regions = {}
    boxes = {}
    for table in etree.parse(str(path).replace(".pdf", "-reg.xml")).iter("table"):
        for region in table.iter("region"):
            page, box = box_of(region, document)
            regions.setdefault(page, []).append(box)
            boxes.setdefault(table.get("id"), (page, box))
    found = []
    for table in etree.parse(str(path).replace(".pdf", "-str.xml")).iter("table"):
        parts = list(table.iter("region"))
        grid = cells_of(parts[0]) if len(parts) == 1 and table.get("id") in boxes else None
        if grid:
            found.append((table.get("id"), *boxes[table.get("id")], rows_of(*grid)))
    return found, regions


def table_rows(block):
    cells = [
        (c["row"], c["column"], c["row"] + c["row_span"] - 1, c["column"] + c["column_span"] - 1, c["text"])
        for c in block["table"]["cells"]
    ]
    return rows_of(cells, block["table"]["rows"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", required=True)
    parser.add_argument("--most", type=int, help="documents to read at most")
    parser.add_argument("--worst", type=int, default=0, help="tables with the lowest score to list")
    answers.add_arguments(parser)
    arguments = parser.parse_args()
    scores, predicted, false = [], 0, 0
    paths = sorted(pathlib.Path(arguments.truth).glob("*.pdf"))
    paths = [path for path in paths if path.with_name(path.stem + "-str.xml").exists()]
    for path in paths[: arguments.most]:
        truth, regions = truth_of(path)
        pages = answers.of_document(arguments, path)
        for page, blocks in enumerate(pages):
            tables = [block for block in blocks if block["table"]]
            predicted += len(tables)
            inside = [max((overlap(t["box"], box) for box in regions.get(page, [])), default=0) / area(t["box"]) for t in tables]
            false += sum(share < 0.3 for share in inside)
        for name, page, box, rows in truth:
            near = [b for b in pages[page] if b["table"] and overlap(b["box"], box) > 0] if page < len(pages) else []
            best = max(near, key=lambda block: overlap(block["box"], box), default=None)
            ours = table_rows(best) if best else None
            pair = (teds(ours, rows), teds(ours, rows, True)) if ours else (0.0, 0.0)
            scores.append((f"{path.stem}#{name}", bool(best), *pair))
    count = max(1, len(scores))
    print(
        json.dumps(
            {
                "tables": len(scores),
                "found": sum(score[1] for score in scores),
                "teds": round(sum(score[2] for score in scores) / count, 4),
                "teds_structure": round(sum(score[3] for score in scores) / count, 4),
                "exact_structure": sum(score[3] > 0.999 for score in scores),
                "predicted": predicted,
                "false": false,
                "worst": [[s[0], round(s[2], 3), round(s[3], 3)] for s in sorted(scores, key=lambda s: s[3])[: arguments.worst]],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
