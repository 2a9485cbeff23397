#!/usr/bin/env python3
"""How far confidence can be trusted, and what the cascade costs, on drawn pages in Latin languages; prints JSON.

usage: calibration.py --server URL --udhr FOLDER --fonts FOLDER.. --deployments NAME.. [--languages CODE..]
needs: fonttools, lxml, numpy, pillow (with raqm), rapidfuzz

The pages are those of scripts.py, clean and degraded. Words and characters of an answer are aligned with those that were
drawn (Levenshtein distance); one is right if it is equal, accents and punctuation included.
cer:        by deployment, language and kind of page, as scripts.py counts it.
characters: the confidence of a line, which is the mean probability of its characters, against the part of them that is right
words:      the confidence of a word to the power of its number of characters, against being right: the probability of a word
            is about the product of those of its characters
words_mean: the confidence of a word as it is, against being right
Each for ranges of the confidence: how many there are, the mean confidence, and the part that is right; `error` is the expected
calibration error: the mean of |confidence - right| over the ranges, weighted by their counts (Naeini et al., 2015).
"""
import argparse
import io
import json
import pathlib

from rapidfuzz.distance import Levenshtein

import answers
import scripts

LANGUAGES = ["ces", "deu", "eng", "fra", "hrv", "hun", "isl", "pol", "ron", "spa", "swe", "tur", "vie"]
# Lower ends of the ranges of confidence.
RANGES = [0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995]


def read(server, page, dpi, kind, deployment, jpeg):
    """The lines of the page, each with its words."""
    data = io.BytesIO()
    page.save(data, "JPEG" if jpeg else "PNG", dpi=(dpi, dpi), **({"quality": 45} if jpeg else {}))
    options = {"words": "true"}
    found = json.loads(answers.ask(server, data.getvalue(), kind, options, deployment=deployment))["pages"][0]
    return found.get("lines", [])


def right(truth, found):
    """For each found word or character, whether it is aligned with an equal one of the truth."""
    equal = [False] * len(found)
    for step in Levenshtein.opcodes(truth, found):
        if step.tag == "equal":
            for at in range(step.dest_start, step.dest_end):
                equal[at] = True
    return equal


def of_lines(truth, lines):
    """For each line its confidence and the part of its characters that is right."""
    texts = [scripts.plain(line["text"]) for line in lines]
    equal, start = right(truth, "".join(texts)), 0
    for line, text in zip(lines, texts):
        own = equal[start : start + len(text)]
        start += len(text)
        if own:
            yield line["confidence"], sum(own) / len(own)


def table(pairs):
    """Ranges of the confidence, and the expected calibration error, of (confidence, right) pairs."""
    rows, error = [], 0.0
    for low, high in zip(RANGES, RANGES[1:] + [1.01]):
        own = [pair for pair in pairs if low <= pair[0] < high]
        if own:
            mean = sum(confidence for confidence, _ in own) / len(own)
            part = sum(equal for _, equal in own) / len(own)
            error += abs(mean - part) * len(own) / len(pairs)
            rows.append({"from": low, "count": len(own), "confidence": round(mean, 4), "right": round(part, 4)})
    return {"ranges": rows, "error": round(error, 4), "count": len(pairs)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--udhr", required=True)
    parser.add_argument("--fonts", required=True, nargs="+")
    parser.add_argument("--deployments", required=True, nargs="+")
    parser.add_argument("--languages", nargs="+", default=LANGUAGES)
    parser.add_argument("--keep", help="file for the words: confidence, number of characters, right")
    arguments = parser.parse_args()
    fonts = {path.name: path for folder in arguments.fonts for path in pathlib.Path(folder).rglob("*.ttf")}
    result = {}
    kept = {}
    for deployment in arguments.deployments:
        cer, words, characters = {}, [], []
        for language in arguments.languages:
            name, font, right_to_left = scripts.LANGUAGES[language]
            files = [fonts[font], fonts[scripts.OTHERS]]
            texts = scripts.paragraphs(pathlib.Path(arguments.udhr) / f"{name}.html")
            page, drawn = scripts.draw(texts, files, right_to_left)
            truth = scripts.plain("".join(drawn))
            versions = (
                ("clean", page, scripts.DPI, "image/png", False),
                ("degraded", scripts.degraded(page), scripts.DPI * 3 // 4, "image/jpeg", True),
            )
            for kind, picture, dpi, media_type, jpeg in versions:
                found = read(arguments.server, picture, dpi, media_type, deployment, jpeg)
                text = scripts.plain("".join(line["text"] for line in found))
                cer.setdefault(language, {})[kind] = round(Levenshtein.distance(truth, text) / len(truth), 5)
                characters += of_lines(truth, found)
                own = [word for line in found for word in line.get("words", [])]
                equal = right(" ".join(drawn).split(), [word["text"] for word in own])
                words += [(word["confidence"], len(word["text"]), same) for word, same in zip(own, equal)]
        means = {kind: round(sum(own[kind] for own in cer.values()) / len(cer), 5) for kind in ("clean", "degraded")}
        result[deployment] = {
            "cer": cer,
            "mean_cer": means,
            "characters": table(characters),
            "words": table([(confidence**letters, same) for confidence, letters, same in words]),
            "words_mean": table([(confidence, same) for confidence, _, same in words]),
        }
        kept[deployment] = words
    if arguments.keep:
        pathlib.Path(arguments.keep).write_text(json.dumps(kept), encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
