#!/usr/bin/env python3
"""Score reading order and headings of a PDF against HTML of the same source; prints JSON.

usage: pairs.py --pdf FILE.pdf --html FILE.html|FOLDER.. (--server URL [--text-layer never] | --native BINARY [--rules none|drawn|pixels]) [--limit N]
needs: lxml, numpy, pypdfium2, rapidfuzz

The truth is the sequence of headings, paragraphs, list items and code of the HTML files in the order given; of a folder, in the
order of the contents in its index.html. A block of the
reading is matched to the first unmatched true one of the same text (90 % of its characters); furniture, footnotes and rows of
contents are left out.
order:    normalized edit distance between the order of matched blocks and the true order (0 is best).
heading:  precision, recall and F1 of headings by their text, numbers before them ignored.
matched:  share of true blocks of 20 characters and more that one block of the reading holds.
"""
import argparse
import collections
import json
import pathlib
import re

from lxml import html
from rapidfuzz import fuzz

import answers

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
PARTS = HEADINGS | {"p", "li", "dd", "dt", "pre", "td", "th"}
FURNITURE = {"header", "footer", "page-number", "figure", "footnote"}
SAME = 90.0
LENGTH_MIN = 20
# Contents, navigation and indexes are made from the text; notes stand at the foot of a page and at the end of an HTML file.
NOISE = (
    "//script|//style|//nav|//*[@class='navheader' or @class='navfooter' or @class='toc' or @class='related']"
    "|//*[contains(@class, 'sphinxsidebar') or contains(@class, 'headerlink') or contains(@class, 'toctree')]"
    "|//*[contains(@class, 'contents') or contains(@class, 'footnote') or contains(@class, 'printindex')]"
)
# A row of a table of contents.
LEADER = re.compile(r"(\.\s*){4,}|(\s\.){2,}\s*\d+$")


def key(text):
    return re.sub(r"[\W_]+", "", text or "").lower()


NUMBER = re.compile(r"^\s*(?:(?:chapter|appendix|section)\s+\S+\s+)?(?:(?:\d+|[A-Z](?=[.\d]))(?:\.?\d+)*\.?\s+)?", re.I)


def heading_key(text):
    return key(NUMBER.sub("", text or ""))


def files_of(path):
    """The file, or the files that the contents of a folder name, in their order."""
    if not path.is_dir():
        return [path]
    index = next(found for name in ("index.html", "index.en.html") if (found := path / name).exists())
    links = html.parse(str(index)).getroot().xpath("//*[contains(@class, 'toc')]//a/@href")
    names = dict.fromkeys(link.split("#")[0] for link in links if "://" not in link)
    return [path / name for name in names if name]


def truth_of(paths):
    """(is heading, text) of the HTML files."""
    found = []
    for path in paths:
        root = html.parse(str(path)).getroot()
        for noise in root.xpath(NOISE):
            noise.drop_tree()
        for part in root.iter():
            # A part that holds others gives way to them.
            if part.tag in PARTS and not any(child.tag in PARTS for child in part.iterdescendants()):
                text = " ".join(part.text_content().split())
                if key(text):
                    found.append((part.tag in HEADINGS, text))
    return found


def is_shown(block):
    return block["kind"] not in FURNITURE and not LEADER.search(block["text"])


def edit_distance(sequence):
    """Normalized distance of a sequence of positions from its sorted order, by the longest increasing run of it."""
    tails = []
    for at in sequence:
        low, high = 0, len(tails)
        while low < high:
            middle = (low + high) // 2
            if tails[middle] < at:
                low = middle + 1
            else:
                high = middle
        tails[low : low + 1] = [at]
    return (len(sequence) - len(tails)) / max(1, len(sequence))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdf", required=True)
    parser.add_argument("--html", required=True, nargs="+")
    parser.add_argument("--limit", type=int, default=0, help="differing headings to list")
    answers.add_arguments(parser)
    arguments = parser.parse_args()
    truth = truth_of([file for path in arguments.html for file in files_of(pathlib.Path(path))])
    blocks = [b for page in answers.of_document(arguments, arguments.pdf) for b in page if is_shown(b)]
    by_start = collections.defaultdict(list)
    for at, (_, text) in enumerate(truth):
        by_start[key(text)[:8]].append(at)
    used, order = set(), []
    for block in blocks:
        own = key(block["text"])
        if len(own) < LENGTH_MIN:
            continue
        for at in by_start.get(own[:8], []):
            if at not in used and fuzz.ratio(own, key(truth[at][1])) >= SAME:
                used.add(at)
                order.append(at)
                break
    true_heads = collections.Counter(heading_key(text) for is_heading, text in truth if is_heading)
    heads = collections.Counter(heading_key(b["text"]) for b in blocks if b["kind"] in ("heading", "title"))
    true_heads.pop("", None)
    heads.pop("", None)
    hits = (true_heads & heads).total()
    precision, recall = hits / max(1, heads.total()), hits / max(1, true_heads.total())
    long = sum(len(key(text)) >= LENGTH_MIN for _, text in truth)
    print(
        json.dumps(
            {
                "blocks": len(blocks),
                "true_blocks": len(truth),
                "matched": round(len(order) / max(1, long), 4),
                "order": round(edit_distance(order), 4),
                "heading": {
                    "precision": round(precision, 4),
                    "recall": round(recall, 4),
                    "f1": round(2 * precision * recall / max(1e-9, precision + recall), 4),
                },
                "false_headings": sorted((heads - true_heads).elements())[: arguments.limit],
                "missed_headings": sorted((true_heads - heads).elements())[: arguments.limit],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
