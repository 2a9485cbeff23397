"""Real OCRmyPDF with a real Lector server: `LECTOR_URL=http://… pytest`."""

import os
import re
import subprocess
import sys

import ocrmypdf
import pikepdf
import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas

A4 = (595.0, 842.0)
WORDS = ["Invoice", "Payment", "Delivery", "Customer"]

pytestmark = pytest.mark.skipif(not os.environ.get("LECTOR_URL"), reason="LECTOR_URL names no server")


def drawn(path, pages=1):
    """Writes pages of vector text: a word at a known place in each quarter."""
    page = canvas.Canvas(str(path), pagesize=A4)
    for _ in range(pages):
        page.setFont("Helvetica", 28)
        for number, word in enumerate(WORDS):
            page.drawString(60, A4[1] - 120 - 150 * number, word)
            page.drawString(60 + 200, A4[1] - 120 - 150 * number, f"number {number + 1} of the letter")
        page.showPage()
    page.save()
    return path


def scanned(tmp_path, name="scan.pdf", turn=0, dpi=200, pages=1):
    """Writes a PDF whose pages are pictures of the text, turned by quarter turns."""
    drawn(tmp_path / "source.pdf")
    subprocess.run(
        ["pdftoppm", "-r", str(dpi), "-png", "-singlefile", tmp_path / "source.pdf", tmp_path / "source"], check=True
    )
    picture = Image.open(tmp_path / "source.png").convert("RGB").rotate(turn, expand=True)
    picture.save(tmp_path / "turned.png", dpi=(dpi, dpi))
    size = (picture.width * 72 / dpi, picture.height * 72 / dpi)
    page = canvas.Canvas(str(tmp_path / name), pagesize=size)
    for _ in range(pages):
        page.drawImage(ImageReader(str(tmp_path / "turned.png")), 0, 0, *size)
        page.showPage()
    page.save()
    return tmp_path / name


def ocr(source, target, *arguments):
    command = [sys.executable, "-m", "ocrmypdf", "--output-type", "pdf", *arguments, source, target]
    return subprocess.run(command, capture_output=True, text=True)


def read(source, target, *arguments):
    done = ocr(source, target, *arguments)
    assert done.returncode == 0, done.stderr
    return target


def words(path, page=1):
    """Returns the words of pdftotext with the upper left corners of their boxes, in points."""
    done = subprocess.run(
        ["pdftotext", "-bbox", "-f", str(page), "-l", str(page), path, "-"], capture_output=True, text=True, check=True
    )
    found = re.findall(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)</word>', done.stdout)
    return {text.strip(".,"): tuple(map(float, box)) for *box, text in found}


def in_place(path, page=1):
    """Asserts that each word is found where it was drawn."""
    found = words(path, page)
    for number, word in enumerate(WORDS):
        assert word in found, (word, found)
        left, top, right, bottom = found[word]
        baseline = 120 + 150 * number
        assert abs(left - 60) < 6, (word, found[word])
        # The box is that of the renderer's font, around the line that was detected.
        assert abs((top + bottom) / 2 - (baseline - 10)) < 8 and bottom - top < 55, (word, found[word])
        assert 60 < right - left < 140, (word, found[word])


@pytest.mark.parametrize("dpi", [150, 300, 600])
def test_a_scan(tmp_path, dpi):
    sidecar = tmp_path / "text.txt"
    in_place(read(scanned(tmp_path, dpi=dpi), tmp_path / "out.pdf", "--sidecar", sidecar))
    text = sidecar.read_text()
    places = [text.index(word) for word in WORDS]
    assert places == sorted(places), text


def test_vector_pages(tmp_path):
    in_place(read(drawn(tmp_path / "in.pdf"), tmp_path / "out.pdf", "--force-ocr"))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_scans_are_put_upright(tmp_path, turn):
    in_place(read(scanned(tmp_path, turn=turn), tmp_path / "out.pdf", "--rotate-pages"))


@pytest.mark.parametrize("turn", [90, 180])
def test_scans_that_the_viewer_turns_upright(tmp_path, turn):
    with pikepdf.open(scanned(tmp_path, turn=turn)) as pdf:
        pdf.pages[0].Rotate = turn
        pdf.save(tmp_path / "in.pdf")
    in_place(read(tmp_path / "in.pdf", tmp_path / "out.pdf"))


def test_a_crooked_scan_is_levelled(tmp_path):
    source = scanned(tmp_path)
    crooked = Image.open(tmp_path / "turned.png").rotate(-2, fillcolor="white")
    crooked.save(tmp_path / "crooked.png", dpi=(200, 200))
    page = canvas.Canvas(str(source), pagesize=A4)
    page.drawImage(ImageReader(str(tmp_path / "crooked.png")), 0, 0, *A4)
    page.save()
    out = read(source, tmp_path / "out.pdf", "--deskew")
    tops = [box[1] for word, box in words(out).items() if word in ("Invoice", "letter")]
    assert set(WORDS) <= set(words(out)) and len(tops) == 2


def test_encrypted_input_is_refused_as_by_ocrmypdf(tmp_path):
    with pikepdf.open(scanned(tmp_path)) as pdf:
        pdf.save(tmp_path / "locked.pdf", encryption=pikepdf.Encryption(owner="a", user="b"))
    done = ocr(tmp_path / "locked.pdf", tmp_path / "out.pdf")
    assert done.returncode == ocrmypdf.ExitCode.encrypted_pdf, done.stderr


@pytest.mark.parametrize("threads", [[], ["--use-threads"]])
def test_many_pages_at_once(tmp_path, threads):
    out = read(scanned(tmp_path, pages=12), tmp_path / "out.pdf", "--jobs", "8", *threads)
    for page in range(1, 13):
        in_place(out, page)


def test_a_blank_page_has_no_text(tmp_path):
    blank = Image.new("RGB", (1654, 2339), "white")
    blank.save(tmp_path / "blank.png", dpi=(200, 200))
    page = canvas.Canvas(str(tmp_path / "in.pdf"), pagesize=A4)
    page.drawImage(ImageReader(str(tmp_path / "blank.png")), 0, 0, *A4)
    page.save()
    assert words(read(tmp_path / "in.pdf", tmp_path / "out.pdf")) == {}


def test_a_server_that_does_not_answer_fails_the_job(tmp_path):
    done = ocr(scanned(tmp_path), tmp_path / "out.pdf", "--lector-url", "http://127.0.0.1:9")
    assert done.returncode == ocrmypdf.ExitCode.child_process_error, done.stderr
    assert "does not answer" in done.stderr and not (tmp_path / "out.pdf").exists()


def test_an_unknown_deployment_fails_the_job(tmp_path):
    done = ocr(scanned(tmp_path), tmp_path / "out.pdf", "--lector-deployment", "none")
    assert done.returncode == ocrmypdf.ExitCode.child_process_error, done.stderr
    assert "deployment_not_found" in done.stderr


def test_wrong_options_are_named(tmp_path):
    done = ocr(scanned(tmp_path), tmp_path / "out.pdf", "--lector-url", "here")
    assert done.returncode == ocrmypdf.ExitCode.bad_args, done.stderr


def test_the_functions_take_the_options(tmp_path):
    source = scanned(tmp_path)
    code = ocrmypdf.ocr(
        source, tmp_path / "out.pdf", output_type="pdf", lector_url=os.environ["LECTOR_URL"], progress_bar=False
    )
    assert code == ocrmypdf.ExitCode.ok
    in_place(tmp_path / "out.pdf")
    with pytest.raises(ocrmypdf.exceptions.ExitCodeException):
        ocrmypdf.ocr(
            source, tmp_path / "no.pdf", output_type="pdf", lector_url="http://127.0.0.1:9", progress_bar=False
        )
