"""OCRmyPDF, which starts the program `lector` under the name `tesseract`: pages that are turned, several at once.

$LECTOR is the program. An orientation that fails must end OCRmyPDF: it would otherwise leave the page as it is.
"""

import io
import os
import pathlib
import subprocess
import sys
import tempfile

import img2pdf
import pikepdf
import pypdfium2

server, pdf = sys.argv[1], sys.argv[2]
folder = tempfile.TemporaryDirectory()
place = pathlib.Path(folder.name)
(place / "tesseract").symlink_to(os.environ["LECTOR"])
env = dict(os.environ, PATH=f"{place}:{os.environ['PATH']}", LECTOR_URL=server)

# The first two pages, each in all four orientations, as scans of 150 dpi.
pages, turns = [], []
document = pypdfium2.PdfDocument(pdf)
for page in (0, 1):
    picture = document[page].render(scale=150 / 72).to_pil().convert("L")
    for turn in (0, 90, 180, 270):
        out = io.BytesIO()
        picture.rotate(turn, expand=True, fillcolor=255).save(out, "PNG", dpi=(150, 150))
        pages.append(out.getvalue())
        turns.append(turn)
(place / "scan.pdf").write_bytes(img2pdf.convert(pages))


def ocrmypdf(*options, **variables):
    arguments = ["--rotate-pages", "--output-type", "pdf", "--jobs", "4", *options, "scan.pdf", "out.pdf"]
    command = [sys.executable, "-m", "ocrmypdf", *arguments]
    environment = dict(env, PYTHONPATH=os.pathsep.join(sys.path), **variables)
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)


done = ocrmypdf()
assert done.returncode == 0, done.stderr
with pikepdf.open(place / "out.pdf") as made:
    got = [int(page.obj.get("/Rotate", 0)) for page in made.pages]
assert got == turns, (got, turns)
text = [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(place / "out.pdf")]
assert all(one.strip() for one in text), text

# A page that is not read in the program's own time is an error, before OCRmyPDF's time is over.
late = ocrmypdf("--pages", "2", LECTOR_TIMEOUT="0.001")
assert late.returncode != 0, late.stderr
print(f"{len(got)} pages turned by {sorted(set(got))}")
