#!/usr/bin/env python3
"""Make the golden pictures by which engines are accepted: out of the demo document, which is our own, and of lines set in
free fonts. Gray netpbm (P5), because the host that reads them has no codec.

needs: pip install pillow pypdfium2 numpy; the fonts DejaVu and Droid Sans Fallback
run: python3 models/golden/make_golden.py     (same bytes every time with the same versions)
"""
import pathlib

import numpy
import pypdfium2
from PIL import Image, ImageDraw, ImageFilter, ImageFont

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parent.parent / "tests/data/demo.pdf"
NOISE = numpy.random.default_rng(7)
LINES = [
    ("DejaVuSans", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "Grüße aus Łódź: naïve cœur, señor Ångström"),
    ("DejaVuSerif", "/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf", "Ελλάδα, θάλασσα και ουρανός"),
    ("Mono", "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf", "IBAN DE89 3704 0044 0532 0130 00"),
    ("Droid", "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf", "中华人民共和国增值税发票 2024年3月"),
    ("Droid", "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf", "東京都千代田区丸の内のカタカナとひらがな"),
]


def write(name, picture):
    gray = picture.convert("L")
    (HERE / name).write_bytes(b"P5\n%d %d\n255\n" % gray.size + gray.tobytes())
    print(name, gray.size)


def noisy(picture, sigma):
    gray = numpy.asarray(picture.convert("L"), dtype=numpy.float32)
    gray = gray + NOISE.normal(0, sigma, gray.shape)
    return Image.fromarray(gray.clip(0, 255).astype(numpy.uint8))


def page(pdf, number, dpi):
    return pdf[number].render(scale=dpi / 72).to_pil().convert("L")


def line_boxes(pdf, number, dpi):
    """Boxes of the page's text lines, in pixels, top to bottom."""
    text, height = pdf[number].get_textpage(), pdf[number].get_height()
    boxes = [text.get_rect(i) for i in range(text.count_rects())]
    scale = dpi / 72
    return [(l * scale, (height - t) * scale, r * scale, (height - b) * scale) for l, b, r, t in boxes]


def strip(picture, box):
    """A line at a height of 48, with a little of its surroundings."""
    left, top, right, bottom = box
    margin = (bottom - top) * 0.2
    line = picture.crop((int(left - margin), int(top - margin), int(right + margin), int(bottom + margin)))
    width = max(32, round(line.width * 48 / line.height))
    return line.resize((min(width, 960), 48), Image.BICUBIC)


def set_line(path, text):
    font = ImageFont.truetype(path, 34)
    width = int(font.getlength(text)) + 16
    line = Image.new("L", (min(width, 960), 48), 250)
    ImageDraw.Draw(line).text((8, 3), text, font=font, fill=20)
    return line


def main():
    pdf = pypdfium2.PdfDocument(DEMO)
    # Pages: text and table, a scan, a photographed receipt.
    write("page-letter.pgm", page(pdf, 0, 100).crop((80, 60, 720, 508)))
    write("page-scan.pgm", page(pdf, 2, 110).crop((70, 90, 710, 538)))
    receipt = page(pdf, 3, 110)
    write("page-receipt.pgm", receipt.crop((0, 0, 448, 448)) if receipt.width >= 448 else receipt.resize((448, 448)))
    # Lines: of the document, some of them spoilt, and of other scripts.
    lines = [strip(page(pdf, 0, 200), box) for box in line_boxes(pdf, 0, 200)[:4]]
    lines += [strip(page(pdf, 1, 200), box) for box in line_boxes(pdf, 1, 200)[2:7]]
    lines[1] = noisy(lines[1], 18)
    lines[5] = lines[5].filter(ImageFilter.GaussianBlur(1.2))
    lines[6] = noisy(lines[6].rotate(1, fillcolor=255, resample=Image.BICUBIC), 10)
    lines += [set_line(path, text) for _, path, text in LINES]
    for number, line in enumerate(lines):
        write(f"line-{number:02}.pgm", line)
    # What the classifiers see: beginnings of lines upright and upside down; whole pages in the four turns.
    for number in (0, 2, 4, 7, 9):
        start = lines[number].crop((0, 0, 192, 48)) if lines[number].width >= 192 else lines[number].resize((192, 48))
        write(f"start-{number:02}.pgm", start)
        write(f"start-{number:02}-turned.pgm", start.rotate(180))
    for number in (0, 1, 2):
        whole = page(pdf, number, 100)
        whole = whole.crop((80, 100, 80 + 640, 100 + 640)).resize((224, 224), Image.BICUBIC)
        for turn in (0, 90, 180, 270):
            if number == 0 or turn in (0, 180):
                write(f"whole-{number}-{turn:03}.pgm", whole.rotate(-turn))


main()
