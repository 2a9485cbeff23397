#!/usr/bin/env python3
"""Make demo.pdf, the document that `cargo xtask demo` sends: four pages of our own words.

1 a letter with a table, as text · 2 an article in two columns, as text · 3 page 2 as a scan would give it (gray, a little
turned, noisy, no text) · 4 a receipt as a photographed strip (no text)

needs: pip install reportlab==4.4.* pillow pypdfium2 numpy        run: python3 make_demo.py     (same bytes every time)
"""
import io
import pathlib
import random

import numpy
import pypdfium2
from PIL import Image, ImageFilter
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

HERE = pathlib.Path(__file__).resolve().parent
WIDTH, HEIGHT = A4
TITLE = "The lamplighter's ledger"
STORY = """Every evening at half past five the lamplighter of Quay Street took his ladder from its hook and counted the
lamps aloud. There were forty-three of them, and he knew each by its fault: the ninth leaned, the twentieth whistled, and
the thirty-first would burn only for a clean match.
He kept a ledger. In it stood the hour at which each lamp was lit, the oil it had drunk, and the weather, in a hand so
small that his sister needed a glass to read it. When the council asked what the lights had cost in the winter of 1887,
he carried eleven books to the town hall and waited while a clerk turned the pages.
The clerk found 1,204 entries for lamp nine alone. "Nobody will ever read all this," he said, not unkindly.
"Somebody will want one line of it," said the lamplighter, "and nobody can say tonight which line that will be."
So the books stayed. They stood in the cellar through two floods and a fire, and the ink of the first volume ran until
the figures looked like rain. A hundred years later a student put them under a lamp that needed no ladder, and a machine
read them in an afternoon: 173,512 lines, most of them right.
She looked up lamp nine first. It had leaned, the ledger said, since 14 March 1871, because a cart had struck it; the
cart had belonged to the council. In the margin stood a remark that no glass had ever found, for the hand was smaller
still: "Not repaired. Will ask again tomorrow." She counted. He had asked 611 times.
The lamp at number nine is electric now, and it stands quite straight. But on the wall beside it there is a small brass
plate, with a line from a ledger that somebody wanted after all."""
ITEMS = [("Lamp oil, barrel", 3, 1450), ("Wick, cotton, 20 mm", 40, 35), ("Glass cylinder, no. 6", 12, 220),
         ("Brass burner, cleaned", 5, 610), ("Ladder hook, forged", 2, 480)]


def wrap(text, font, size, width):
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and stringWidth(longer, font, size) > width:
            yield line
            line = word
        else:
            line = longer
    if line:
        yield line


def letter(c):
    c.setFont("Helvetica-Bold", 17)
    c.drawString(60, HEIGHT - 80, "Quay Street Lamp Works")
    c.setFont("Helvetica", 10)
    for n, text in enumerate(["17 Quay Street · Harbour Town", "ledger@lampworks.example · +44 20 7946 0123"]):
        c.drawString(60, HEIGHT - 98 - 14 * n, text)
    c.drawRightString(WIDTH - 60, HEIGHT - 98, "Invoice 2026-0419")
    c.drawRightString(WIDTH - 60, HEIGHT - 112, "2 September 2026")
    y = HEIGHT - 165
    body = ("Dear councillors, please find below what the lamps of the eastern quay have needed since the spring. "
            "The account is the usual one: IBAN GB82 WEST 1234 5698 7654 32. Kindly pay within thirty days.")
    for text in wrap(body, "Helvetica", 11, WIDTH - 120):
        c.drawString(60, y, text)
        y -= 16
    y -= 18
    columns = [60, 330, 420, WIDTH - 60]
    c.setFont("Helvetica-Bold", 10)
    c.drawString(columns[0], y, "Item")
    for x, text in zip(columns[1:], ["Quantity", "Price", "Amount"]):
        c.drawRightString(x, y, text)
    c.line(60, y - 5, WIDTH - 60, y - 5)
    c.setFont("Helvetica", 10)
    total = 0
    for name, count, pence in ITEMS:
        y -= 20
        total += count * pence
        c.drawString(columns[0], y, name)
        for x, text in zip(columns[1:], [str(count), f"£{pence / 100:.2f}", f"£{count * pence / 100:.2f}"]):
            c.drawRightString(x, y, text)
    c.line(60, y - 8, WIDTH - 60, y - 8)
    c.setFont("Helvetica-Bold", 10)
    c.drawString(columns[0], y - 24, "Total")
    c.drawRightString(columns[3], y - 24, f"£{total / 100:.2f}")
    c.setFont("Helvetica", 11)
    c.drawString(60, y - 80, "With kind regards,")
    c.drawString(60, y - 112, "Ada Wick, keeper of the ledger")
    c.showPage()


def article(c):
    c.setFont("Times-Bold", 22)
    c.drawString(60, HEIGHT - 85, TITLE)
    c.setFont("Times-Italic", 11)
    c.drawString(60, HEIGHT - 104, "A short story about keeping things")
    size, lead, gap = 11.5, 15.5, 26
    width = (WIDTH - 120 - gap) / 2
    paragraphs = []
    for raw in STORY.replace(",\n", ", ").split(".\n"):
        paragraphs.append(raw.replace("\n", " ").rstrip(".") + ("." if not raw.endswith('"') else ""))
    lines = [line for text in paragraphs for line in [*wrap(text, "Times-Roman", size, width), ""]]
    half = (len(lines) + 1) // 2
    c.setFont("Times-Roman", size)
    for column, part in enumerate([lines[:half], lines[half:]]):
        y = HEIGHT - 140
        for line in part:
            c.drawString(60 + column * (width + gap), y, line)
            y -= lead
    c.showPage()


def receipt():
    """A narrow strip, as its own small PDF."""
    out = io.BytesIO()
    c = Canvas(out, pagesize=(230, 330), invariant=1)
    c.setFont("Courier-Bold", 13)
    c.drawCentredString(115, 295, "HARBOUR CAFE")
    c.setFont("Courier", 10)
    rows = [("2 x Tea, black", "4.20"), ("1 x Oat porridge", "3.75"), ("1 x Plum tart", "4.10"), ("Service", "1.20")]
    for n, (name, price) in enumerate(rows):
        c.drawString(22, 260 - 17 * n, name)
        c.drawRightString(208, 260 - 17 * n, price)
    c.setFont("Courier-Bold", 11)
    c.drawString(22, 178, "TOTAL GBP")
    c.drawRightString(208, 178, "13.25")
    c.setFont("Courier", 9)
    for n, text in enumerate(["Card 4111 1111 1111 1111", "Table 7   12:41   14/03/2026", "Thank you, come again"]):
        c.drawCentredString(115, 140 - 15 * n, text)
    c.showPage()
    c.save()
    return out.getvalue()


def scan(pdf, page, dpi, turn, seed, blur):
    """The page as gray pixels that have been through a lens: turned, unevenly lit, blurred, noisy."""
    rendered = pypdfium2.PdfDocument(pdf)[page].render(scale=dpi / 72).to_pil().convert("L")
    rendered = rendered.rotate(turn, resample=Image.Resampling.BICUBIC, fillcolor=250)
    pixels = numpy.asarray(rendered.filter(ImageFilter.GaussianBlur(blur)), dtype=numpy.float32)
    height, width = pixels.shape
    light = 0.97 - 0.07 * numpy.linspace(0, 1, width)[None, :] * numpy.linspace(0.3, 1, height)[:, None]
    noise = numpy.random.default_rng(seed).normal(0, 3.5, pixels.shape)
    return Image.fromarray(numpy.clip(pixels * light + noise, 0, 255).astype(numpy.uint8))


def jpeg(image, quality):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, optimize=True)
    out.seek(0)
    return ImageReader(out)


def main():
    random.seed(0)
    text = io.BytesIO()
    c = Canvas(text, pagesize=A4, invariant=1)
    article(c)
    c.save()
    c = Canvas(str(HERE / "demo.pdf"), pagesize=A4, invariant=1)
    c.setTitle("Lector demo document")
    letter(c)
    article(c)
    c.drawImage(jpeg(scan(text.getvalue(), 0, 130, 0.7, 1, 0.5), 38), 0, 0, WIDTH, HEIGHT)
    c.showPage()
    strip = scan(receipt(), 0, 150, -1.4, 2, 0.7)
    c.setPageSize((WIDTH, 520))
    c.drawImage(jpeg(strip, 45), 150, 30, 300, 300 * strip.height / strip.width)
    c.showPage()
    c.save()


if __name__ == "__main__":
    main()
