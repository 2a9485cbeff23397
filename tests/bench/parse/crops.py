#!/usr/bin/env python3
"""Score pictures of tables against PubTabNet (PubTabNet_Examples.jsonl, and the pictures beside it); prints JSON.

usage: crops.py --truth FOLDER --server URL [--scale 2]
needs: lxml, numpy, rapidfuzz, pypdfium2, pillow

Each picture shows one table, at low resolution: it is sent enlarged. A picture on which no table is found counts 0; of
several the largest is compared.
"""
import argparse
import io
import json
import pathlib

from PIL import Image
from lxml import html

import answers
from tables import area, table_rows
from teds import rows_of, teds


def truth_of(entry):
    """The rows of the true table, from its HTML tokens and its cells in their order."""
    cells = iter(entry["html"]["cells"])
    tokens = []
    for token in entry["html"]["structure"]["tokens"]:
        if token == "</td>":
            tokens.append("".join(next(cells)["tokens"]))
        tokens.append(token)
    taken, found, row = set(), [], -1
    for line in html.fragment_fromstring(f"<table>{''.join(tokens)}</table>").iter("tr"):
        row, column = row + 1, 0
        for cell in line.iter("td", "th"):
            while (row, column) in taken:
                column += 1
            across, down = int(cell.get("colspan", 1)), int(cell.get("rowspan", 1))
            taken |= {(r, c) for r in range(row, row + down) for c in range(column, column + across)}
            found.append((row, column, row + down - 1, column + across - 1, cell.text_content()))
    return rows_of(found, max((cell[2] for cell in found), default=-1) + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--most", type=int, help="pictures to read at most")
    parser.add_argument("--worst", type=int, default=0, help="pictures with the lowest score to list")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.truth)
    scores = []
    for line in (folder / "PubTabNet_Examples.jsonl").read_text(encoding="utf-8").splitlines()[: arguments.most]:
        entry = json.loads(line)
        picture = Image.open(folder / entry["filename"]).convert("RGB")
        # A margin, as on a page.
        wide = Image.new("RGB", (picture.width + 40, picture.height + 40), "white")
        wide.paste(picture, (20, 20))
        large = wide.resize((wide.width * arguments.scale, wide.height * arguments.scale), Image.Resampling.BICUBIC)
        png = io.BytesIO()
        large.save(png, "PNG")
        page = answers.of_bytes(arguments.server, png.getvalue(), "image/png", "auto")[0]
        best = max((b for b in page if b["table"]), key=lambda block: area(block["box"]), default=None)
        truth = truth_of(entry)
        ours = table_rows(best) if best else None
        pair = (teds(ours, truth), teds(ours, truth, True)) if ours else (0.0, 0.0)
        scores.append((*pair, entry["filename"]))
    count = max(1, len(scores))
    print(
        json.dumps(
            {
                "tables": len(scores),
                "found": sum(score[1] > 0 for score in scores),
                "teds": round(sum(score[0] for score in scores) / count, 4),
                "teds_structure": round(sum(score[1] for score in scores) / count, 4),
                "exact_structure": sum(score[1] > 0.999 for score in scores),
                "worst": [[s[2], round(s[0], 3), round(s[1], 3)] for s in sorted(scores, key=lambda s: s[1])[: arguments.worst]],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
