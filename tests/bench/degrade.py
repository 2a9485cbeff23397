#!/usr/bin/env python3
"""Simulates the effects of a scanner or a camera on born-digital pages; their embedded text is the truth.

usage: degrade.py --out DIR [--kinds KIND,...] FILE.pdf:PAGE[,PAGE...] ...          needs: pypdfium2, pillow, numpy

Writes one PDF of pictures for each file and kind (DIR/KIND__FILE.pdf, pages numbered from 1), the list of pages
for `cargo xtask bench peer` (DIR/pages.tsv, the kind as the class) and the truth for score.py (DIR/truth.jsonl).
The same arguments give the same bytes.
"""
import argparse
import io
import json
import pathlib
import zlib

import numpy
import pypdfium2
from PIL import Image, ImageFilter

DPI = 200


def noisy(image, random, spread):
    pixels = numpy.asarray(image).astype(numpy.float32)
    return Image.fromarray(numpy.clip(pixels + random.normal(0, spread, pixels.shape), 0, 255).astype(numpy.uint8))


def skewed(image, degrees):
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(255, 255, 255))


def faded(image, _random):
    """Dark gray print on paper that darkens towards one corner."""
    pixels = numpy.asarray(image).astype(numpy.float32)
    height, width = pixels.shape[:2]
    slope = numpy.linspace(0, 1, width)[None, :, None] + numpy.linspace(0, 1, height)[:, None, None]
    return Image.fromarray((70 + pixels / 255 * (150 - 45 * slope)).astype(numpy.uint8))


def salted(image, random):
    pixels = numpy.asarray(image).copy()
    where = random.random(pixels.shape[:2])
    pixels[where < 0.005] = 0
    pixels[where > 0.995] = 255
    return Image.fromarray(pixels)


def coarse(image, dpi):
    size = (round(image.width * dpi / DPI), round(image.height * dpi / DPI))
    return image.resize(size, Image.Resampling.BOX if dpi * 2 == DPI else Image.Resampling.BILINEAR)


def inverted(image, _random):
    return Image.fromarray(255 - numpy.asarray(image))


def compressed(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def scanned(image, random):
    """All effects at once, each of them weak."""
    image = skewed(faded(coarse(image, 150), random), random.uniform(-1, 1))
    return compressed(noisy(image.filter(ImageFilter.GaussianBlur(0.5)), random, 6), 60)


def fax(image, _random):
    return image.convert("L").point(lambda level: 255 * (level > 160)).convert("RGB")


# Name -> (image, generator of this page) -> image. Rotations are clockwise.
KINDS = {
    "clean": lambda image, random: image,
    "dpi100": lambda image, random: coarse(image, 100),
    "dpi150": lambda image, random: coarse(image, 150),
    "jpeg": lambda image, random: compressed(image, 15),
    "blur": lambda image, random: image.filter(ImageFilter.GaussianBlur(1.5)),
    "noise": lambda image, random: noisy(image, random, 35),
    "salt": salted,
    "faded": faded,
    "inverted": inverted,
    "fax": fax,
    "skew": lambda image, random: skewed(image, random.choice([-3, -2, -1, 1, 2, 3])),
    "turn90": lambda image, random: image.transpose(Image.Transpose.ROTATE_270),
    "turn180": lambda image, random: image.transpose(Image.Transpose.ROTATE_180),
    "turn270": lambda image, random: image.transpose(Image.Transpose.ROTATE_90),
    "scan": scanned,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("pages", nargs="+", metavar="FILE:PAGES")
    wanted = parser.parse_args()
    kinds = wanted.kinds.split(",")
    for kind in kinds:
        if kind not in KINDS:
            parser.error(f"unknown kind {kind}; use one of {', '.join(KINDS)}")
    wanted.out.mkdir(parents=True, exist_ok=True)
    lists = open(wanted.out / "pages.tsv", "w", encoding="utf-8")
    truths = open(wanted.out / "truth.jsonl", "w", encoding="utf-8")
    with lists, truths:
        for spec in wanted.pages:
            path, _, numbers = spec.rpartition(":")
            document = pypdfium2.PdfDocument(path)
            name = pathlib.Path(path).stem
            pages = [document[int(number) - 1] for number in numbers.split(",")]
            texts = [page.get_textpage().get_text_bounded() for page in pages]
            clean = [Image.fromarray(page.render(scale=DPI / 72, rev_byteorder=True).to_numpy()[:, :, :3]) for page in pages]
            for kind in kinds:
                made = []
                for number, image in enumerate(clean):
                    seed = zlib.crc32(f"{kind} {name} {number}".encode())
                    made.append(KINDS[kind](image, numpy.random.default_rng(seed)))
                file = f"{kind}__{name}.pdf"
                # An image of lower resolution keeps the size of the page.
                dpi = {"dpi100": 100, "dpi150": 150, "scan": 150}.get(kind, DPI)
                made[0].save(
                    wanted.out / file, save_all=True, append_images=made[1:], resolution=dpi, quality=92,
                    creationDate=None, modDate=None,
                )
                every = range(1, len(made) + 1)
                print(file, ",".join(map(str, every)), kind, "-", sep="\t", file=lists)
                for page, truth in zip(every, texts):
                    print(json.dumps({"file": file, "page": page, "lines": [], "truth": truth}), file=truths)


if __name__ == "__main__":
    main()
