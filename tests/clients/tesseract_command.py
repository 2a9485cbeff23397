"""pytesseract, with the program `lector` under the name `tesseract`: by the server, and once in the program's own process.

$LECTOR is the program.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

import pytesseract
from PIL import Image

server, png = sys.argv[1], sys.argv[3]
folder = tempfile.TemporaryDirectory()
command = pathlib.Path(folder.name) / "tesseract"
command.symlink_to(os.environ["LECTOR"])
pytesseract.pytesseract.tesseract_cmd = str(command)
os.environ["LECTOR_URL"] = server
image = Image.open(png)

assert str(pytesseract.get_tesseract_version()).startswith("5."), pytesseract.get_tesseract_version()
languages = pytesseract.get_languages()
assert {"eng", "deu", "osd"} <= set(languages) and "rus" not in languages, languages

text = pytesseract.image_to_string(image, lang="eng+deu", config="--psm 6 --oem 1")
assert text.strip() and text.endswith("\f"), text
assert pytesseract.image_to_string(png, config="--psm 7 -c page_separator=").strip() == text.strip()

data = pytesseract.image_to_data(image, output_type=pytesseract.Output.DICT)
words = [at for at, level in enumerate(data["level"]) if level == 5]
assert [data["text"][at] for at in words] == text.split(), data
for at in words:
    left, top, width, height = (data[name][at] for name in ("left", "top", "width", "height"))
    assert left >= 0 and top >= 0 and width > 0 and height > 0, data
    assert left + width <= image.width and top + height <= image.height, data
    assert 50 < float(data["conf"][at]) <= 100, data

hocr = ElementTree.fromstring(pytesseract.image_to_pdf_or_hocr(image, extension="hocr"))
found = ["".join(word.itertext()) for word in hocr.iter() if word.get("class") == "ocrx_word"]
assert found == text.split(), found
assert pytesseract.image_to_pdf_or_hocr(image).startswith(b"%PDF-")
alto = ElementTree.fromstring(pytesseract.image_to_alto_xml(image))
assert [word.get("CONTENT") for word in alto.iter() if word.tag.endswith("}String")] == text.split()
pdf, tsv = pytesseract.run_and_get_multiple_output(image, extensions=["pdf", "tsv"])
assert pdf.startswith(b"%PDF-") and tsv.startswith("level\t"), tsv

# The same picture upside down, on a page: a line alone is not turned.
page = Image.new("RGB", (image.width + 100, image.height * 12), "white")
for row in range(10):
    page.paste(image, (50, int(image.height * (1 + row))))
upright = pytesseract.image_to_osd(page, output_type=pytesseract.Output.DICT)
turned = pytesseract.image_to_osd(page.rotate(180), output_type=pytesseract.Output.DICT)
assert (upright["rotate"], turned["rotate"], turned["orientation"]) == (0, 180, 180), (upright, turned)
assert upright["script"] == "Latin", upright

# A blank page has no text; what cannot be done is an error with its reason.
assert pytesseract.image_to_string(Image.new("RGB", (400, 300), "white")).strip() == ""
for refused, reason in (
    (lambda: pytesseract.image_to_boxes(image), "boxes of characters"),
    (lambda: pytesseract.image_to_string(image, lang="rus"), "Failed loading language"),
    (lambda: pytesseract.image_to_osd(Image.new("RGB", (400, 300), "white")), "Too few characters"),
    (lambda: pytesseract.image_to_string(image, config="--oem 0"), "legacy engine"),
):
    try:
        refused()
    except pytesseract.TesseractError as error:
        assert reason in str(error), error
    else:
        raise AssertionError(f"not refused: {reason}")
os.environ["LECTOR_URL"] = "http://127.0.0.1:9"
try:
    pytesseract.image_to_string(image)
except pytesseract.TesseractError as error:
    assert "does not answer" in str(error), error
else:
    raise AssertionError("a server that does not answer is no empty page")

# Without a server, the program reads itself; standard input and output.
del os.environ["LECTOR_URL"]
with open(png, "rb") as picture:
    done = subprocess.run([command, "stdin", "stdout", "-l", "eng"], stdin=picture, capture_output=True, text=True)
assert done.returncode == 0 and done.stdout.split() == text.split(), done
print(f"pytesseract: {text.strip()!r}")
