#!/usr/bin/env python3
"""Score the reading of scripts on drawn pages of the Universal Declaration of Human Rights, clean and degraded; prints JSON.

usage: scripts.py --server URL --udhr FOLDER --fonts FOLDER.. --read LANGUAGE=DEPLOYMENT.. [--keep FOLDER]
needs: fonttools, lxml, numpy, pillow (with raqm), rapidfuzz

A page is drawn at 200 dpi with real shaping, so that its lines are known exactly. What a font lacks (digits, brackets) is drawn with
another one; in lines from right to left it is left out. Degraded: turned by 0.6 degrees, blurred, at
150 dpi, with noise, as JPEG of quality 45.
cer: edit distance divided by the length of the truth; white space and invisible characters are ignored. By page, in the
reading order of the answer.
"""
import argparse
import io
import json
import pathlib
import unicodedata

import numpy
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from fontTools.ttLib import TTFont
from lxml import html
from rapidfuzz.distance import Levenshtein

import answers

# Language: file of the declaration, font, whether it runs from right to left.
LANGUAGES = {
    "ara": ("arb", "NotoNaskhArabic-Regular.ttf", True),
    "ben": ("ben", "NotoSansBengali-Regular.ttf", False),
    "ces": ("ces", "NotoSerif-Regular.ttf", False),
    "deu": ("deu_1996", "NotoSerif-Regular.ttf", False),
    "ell": ("ell_monotonic", "NotoSerif-Regular.ttf", False),
    "eng": ("eng", "NotoSerif-Regular.ttf", False),
    "fas": ("pes_1", "NotoNaskhArabic-Regular.ttf", True),
    "fra": ("fra", "NotoSerif-Regular.ttf", False),
    "heb": ("heb", "NotoSansHebrew-Regular.ttf", True),
    "hin": ("hin", "NotoSansDevanagari-Regular.ttf", False),
    "hrv": ("hrv", "NotoSerif-Regular.ttf", False),
    "hun": ("hun", "NotoSerif-Regular.ttf", False),
    "hye": ("hye", "NotoSansArmenian-Regular.ttf", False),
    "isl": ("isl", "NotoSerif-Regular.ttf", False),
    "jpn": ("jpn", "ipag.ttf", False),
    "kat": ("kat", "NotoSansGeorgian-Regular.ttf", False),
    "kor": ("kor", "NanumGothic.ttf", False),
    "pol": ("pol", "NotoSerif-Regular.ttf", False),
    "ron": ("ron_2006", "NotoSerif-Regular.ttf", False),
    "rus": ("rus", "NotoSerif-Regular.ttf", False),
    "spa": ("spa", "NotoSerif-Regular.ttf", False),
    "swe": ("swe", "NotoSerif-Regular.ttf", False),
    "tam": ("tam", "NotoSansTamil-Regular.ttf", False),
    "tha": ("tha", "NotoSerifThai-Regular.ttf", False),
    "tur": ("tur", "NotoSerif-Regular.ttf", False),
    "ukr": ("ukr", "NotoSans-Regular.ttf", False),
    "vie": ("vie", "NotoSerif-Regular.ttf", False),
}
OTHERS = "NotoSans-Regular.ttf"
DPI, SIZE, MARGIN = 200, (1654, 2339), 180
HEADING_PT, TEXT_PT = 16, 11
# Thai vowels that are written before their consonant stay with it.
LEADING = "\u0e40\u0e41\u0e42\u0e43\u0e44"


def paragraphs(path):
    root = html.fromstring(path.read_bytes().decode("utf-8"))
    texts = (" ".join(part.text_content().split()) for part in root.iter("h1", "h2", "h3", "h4", "p", "li", "dd"))
    return [text for text in texts if text]


def clusters(text):
    """Parts between which a line may break: words, or letters with their marks in scripts without spaces."""
    parts = []
    for word in text.split(" "):
        letters = [word] if word.isascii() else []
        for letter in "" if letters else word:
            joins = letters and (unicodedata.category(letter) in ("Mn", "Mc", "Cf", "Po", "Pe") or letters[-1][-1] in LEADING)
            breaks = 0xE00 <= ord(letter) < 0xE80 or 0x3000 <= ord(letter) < 0xA000
            if letters and (joins or not breaks):
                letters[-1] += letter
            else:
                letters.append(letter)
        if letters:
            parts += letters[:-1] + [letters[-1] + " "]
    return parts


def wrapped(text, width):
    """The lines of a paragraph; `width` tells whether a line fits."""
    line = ""
    for part in clusters(text):
        if line and not width((line + part).rstrip()):
            yield line.rstrip()
            line = ""
        line += part
    if line.strip():
        yield line.rstrip()


class Face:
    """A font at a size, and the one for what it lacks."""

    def __init__(self, files, points, right_to_left):
        self.way = {"direction": "rtl" if right_to_left else "ltr"}
        size = round(points * DPI / 72)
        self.fonts = [ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.RAQM) for file in files]
        self.pitch = round(sum(self.fonts[0].getmetrics()) * 1.05)
        self.has = [set(TTFont(file, fontNumber=0).getBestCmap()) for file in files]
        self.right_to_left = right_to_left

    def drawable(self, text):
        has = self.has[0] if self.right_to_left else self.has[0] | self.has[1]
        return "".join(c for c in text if c == " " or ord(c) in has)

    def runs(self, line):
        """The font and the text of each run."""
        found = []
        for letter in line:
            own = found[-1][0] if letter == " " and found else int(ord(letter) not in self.has[0])
            if found and found[-1][0] == own:
                found[-1][1] += letter
            else:
                found.append([own, letter])
        return [(self.fonts[own], text) for own, text in found]

    def width(self, line):
        return sum(font.getlength(text, **self.way) for font, text in self.runs(line))

    def draw(self, pen, line, y):
        base = y + self.fonts[0].getmetrics()[0]
        if self.right_to_left:
            pen.text((SIZE[0] - MARGIN, base), line, fill=0, font=self.fonts[0], anchor="rs", **self.way)
            return
        x = MARGIN
        for font, text in self.runs(line):
            pen.text((x, base), text, fill=0, font=font, anchor="ls", **self.way)
            x += font.getlength(text, **self.way)


def draw(texts, files, right_to_left):
    """The page, and its lines."""
    page = Image.new("L", SIZE, 255)
    pen = ImageDraw.Draw(page)
    heading, body = (Face(files, points, right_to_left) for points in (HEADING_PT, TEXT_PT))
    lines, y = [], MARGIN
    for at, text in enumerate(texts):
        face = body if at else heading
        own = list(wrapped(face.drawable(text), lambda line: face.width(line) <= SIZE[0] - 2 * MARGIN))
        if y + face.pitch * len(own) > SIZE[1] - MARGIN:
            break
        for line in own:
            face.draw(pen, line, y)
            lines.append(line)
            y += face.pitch
        y += 22
    return page, lines


def degraded(page):
    turned = page.rotate(0.6, resample=Image.Resampling.BICUBIC, fillcolor=255).filter(ImageFilter.GaussianBlur(0.8))
    small = turned.resize((SIZE[0] * 3 // 4, SIZE[1] * 3 // 4), Image.Resampling.BICUBIC)
    noise = numpy.random.default_rng(7).normal(0, 8, (small.height, small.width))
    return Image.fromarray(numpy.clip(numpy.asarray(small, dtype=float) * 0.9 + 20 + noise, 0, 255).astype("uint8"))


def plain(text):
    return "".join(c for c in unicodedata.normalize("NFC", text) if not c.isspace() and unicodedata.category(c) != "Cf")


def read(server, page, dpi, kind, deployment, jpeg):
    data = io.BytesIO()
    page.save(data, "JPEG" if jpeg else "PNG", dpi=(dpi, dpi), **({"quality": 45} if jpeg else {}))
    found = json.loads(answers.ask(server, data.getvalue(), kind, {}, deployment=deployment))["pages"][0]
    return plain("".join(line["text"] for line in found.get("lines", []))), found.get("warnings", [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--udhr", required=True)
    parser.add_argument("--fonts", required=True, nargs="+")
    parser.add_argument("--read", required=True, nargs="+")
    parser.add_argument("--keep", help="folder for the pages and what was read")
    arguments = parser.parse_args()
    fonts = {path.name: path for folder in arguments.fonts for path in pathlib.Path(folder).rglob("*.ttf")}
    scores = {}
    for wanted in arguments.read:
        language, deployment = wanted.split("=")
        name, font, right_to_left = LANGUAGES[language]
        files = [fonts[font], fonts[OTHERS]]
        page, lines = draw(paragraphs(pathlib.Path(arguments.udhr) / f"{name}.html"), files, right_to_left)
        truth = plain("".join(lines))
        own = {"lines": len(lines), "characters": len(truth)}
        versions = (("clean", page, DPI, "image/png", False), ("degraded", degraded(page), DPI * 3 // 4, "image/jpeg", True))
        for kind, drawn, dpi, media_type, jpeg in versions:
            text, warnings = read(arguments.server, drawn, dpi, media_type, deployment, jpeg)
            own[kind] = round(Levenshtein.distance(truth, text) / max(1, len(truth)), 5)
            if warnings:
                own[f"{kind}_warnings"] = warnings
            if arguments.keep:
                folder = pathlib.Path(arguments.keep)
                folder.mkdir(parents=True, exist_ok=True)
                drawn.save(folder / f"{language}-{kind}.png")
                (folder / f"{language}-{deployment}-{kind}.txt").write_text(text, encoding="utf-8")
                (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
        scores[wanted] = own
    print(json.dumps(scores, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
