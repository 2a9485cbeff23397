#!/usr/bin/env python3
"""Score readings against the embedded text of the same pages; prints JSON.

usage: score.py --truth WITH_TRUTH.jsonl [--classes pages.tsv] READING.jsonl ...        needs: rapidfuzz

The lines of a reading are joined in their order, which is the reading order. White space counts for words only.
cer:   edit distance divided by the length of the truth; includes errors of the order.
miss:  characters of the truth that the reading lacks, counted without order. extra: characters that the truth lacks.
wer:   edit distance in words divided by the number of words of the truth; includes errors of the order.
word_miss: words of the truth that the reading lacks, counted without order: a missing or a wrong space costs words.
Each is summed over the pages, so that a long page weighs more. Pages with less than 200 characters of truth are skipped.

{"NAME": {"all": {"pages", "chars", "words", "cer", "miss", "extra", "wer", "word_miss"}, "classes": {...},
          "pages": {"FILE:PAGE": {...}}}}
"""
import argparse
import collections
import json
import pathlib

from rapidfuzz.distance import Levenshtein

TRUTH_CHARS_MIN = 200


def squeeze(text):
    return "".join((text or "").split())


def pages_of(path):
    """Page records by (file, page)."""
    with open(path, encoding="utf-8") as lines:
        records = (json.loads(line) for line in lines if line.strip())
        return {(record["file"], record["page"]): record for record in records if "lines" in record}


def classes_of(path):
    """Class of every (file, page) of the list."""
    found = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            file, pages, kind, _language = line.split("\t")
            found.update({(file, int(page)): kind for page in pages.split(",")})
    return found


def compare(truth, reading):
    """Absolute counts for one page, of two texts with their white space."""
    words, read_words = truth.split(), reading.split()
    truth, reading = squeeze(truth), squeeze(reading)
    have, read = collections.Counter(truth), collections.Counter(reading)
    return collections.Counter(
        pages=1,
        chars=len(truth),
        words=len(words),
        cer=Levenshtein.distance(truth, reading),
        miss=(have - read).total(),
        extra=(read - have).total(),
        wer=Levenshtein.distance(words, read_words),
        word_miss=(collections.Counter(words) - collections.Counter(read_words)).total(),
    )


def rates(counts):
    chars, words = counts["chars"], counts["words"]
    return {
        "pages": counts["pages"],
        "chars": chars,
        "words": words,
        **{key: round(counts[key] / chars, 5) for key in ("cer", "miss", "extra")},
        **{key: round(counts[key] / words, 5) for key in ("wer", "word_miss")},
    }


def score(truths, reading, classes):
    everything, by_class, by_page = collections.Counter(), collections.defaultdict(collections.Counter), {}
    for key, truth in truths.items():
        page = reading.get(key)  # a missing page counts as an empty one
        text = "\n".join(line["text"] for line in page["lines"]) if page else ""
        counts = compare(truth, text)
        everything.update(counts)
        by_class[classes.get(key, "other")].update(counts)
        by_page["{}:{}".format(*key)] = rates(counts)
    return {
        "all": rates(everything),
        "classes": {kind: rates(counts) for kind, counts in sorted(by_class.items())},
        "pages": by_page,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", required=True)
    parser.add_argument("--classes")
    parser.add_argument("readings", nargs="+")
    wanted = parser.parse_args()
    truths = {key: page["truth"] or "" for key, page in pages_of(wanted.truth).items()}
    truths = {key: text for key, text in truths.items() if len(squeeze(text)) >= TRUTH_CHARS_MIN}
    if not truths:
        parser.error("no page has enough truth for a score")
    classes = classes_of(wanted.classes) if wanted.classes else {}
    result = {pathlib.Path(path).stem: score(truths, pages_of(path), classes) for path in wanted.readings}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
