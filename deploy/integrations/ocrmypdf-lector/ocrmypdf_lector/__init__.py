"""OCRmyPDF with a Lector server as its OCR engine.

Each page is one request: OCRmyPDF runs `jobs` of them at once, and the server shares its engines between them. The
coordinates of the result are those of the image that OCRmyPDF sends.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
from importlib.metadata import version as version_of
from pathlib import Path

import ocrmypdf
from ocrmypdf import OcrEngine, OrientationConfidence, hookimpl
from ocrmypdf.builtin_plugins import tesseract_ocr
from ocrmypdf.exceptions import BadArgsError, ExitCodeException

from . import _hocr, _languages
from ._client import Client, LectorError

log = logging.getLogger(__name__)

_MAJOR = int(version_of("ocrmypdf").split(".")[0])
_NAME = "lector"
# Confidence that OCRmyPDF expects for a page of clear text; it turns a page from 14 (`--rotate-pages-threshold`).
_CONFIDENCE_MAX = 20.0
# Characters from which their number no longer lowers the confidence in an orientation.
_CHARACTERS_SURE = 30

# Options: name, environment variable, default, help.
_OPTIONS = (
    ("lector_url", "LECTOR_URL", "http://127.0.0.1:8080", "Address of the Lector server"),
    ("lector_key", "LECTOR_KEY", "", "API key; better set in the environment"),
    ("lector_deployment", "LECTOR_DEPLOYMENT", "", "Deployment that reads the pages"),
    ("lector_timeout", "LECTOR_TIMEOUT", "300", "Longest wait for one page, in seconds"),
)


class PageNotRead(ExitCodeException):
    """A page that the server did not read. The whole job fails: an empty page would be a silent loss."""

    exit_code = ocrmypdf.ExitCode.child_process_error


def _option(options, name: str) -> str:
    """Returns an option: of the command line or `ocrmypdf.ocr(...)`, else of the environment, else the default.

    Read for each page: pages are read in threads or in child processes, which share no state of this module.
    """
    given = getattr(options, name, None)
    if given is None:
        given = getattr(options, "extra_attrs", {}).get(name)
    _, variable, default, _ = next(option for option in _OPTIONS if option[0] == name)
    return str(given or os.environ.get(variable) or default)


def _client(options) -> Client:
    return Client(
        url=_option(options, "lector_url"),
        key=_option(options, "lector_key"),
        deployment=_option(options, "lector_deployment"),
        timeout_s=float(_option(options, "lector_timeout")),
        languages=_languages.query(list(getattr(options, "languages", None) or [])),
    )


def _is_selected(options) -> bool:
    return getattr(options, "ocr_engine", "auto") in ("auto", _NAME)


def _has_tesseract() -> bool:
    return shutil.which("tesseract") is not None


@hookimpl
def initialize(plugin_manager):
    """Removes the tesseract plugin where tesseract is not installed: it would refuse to start."""
    if not _has_tesseract():
        manager = getattr(plugin_manager, "pluggy_manager", plugin_manager)
        manager.set_blocked("ocrmypdf.builtin_plugins.tesseract_ocr")


@hookimpl
def add_options(parser: argparse.ArgumentParser):
    """Adds the options, and `lector` to the choices of `--ocr-engine`."""
    if not _has_tesseract():
        # Other parts of OCRmyPDF read these options.
        tesseract_ocr.add_options(parser)
    group = parser.add_argument_group("Lector", "OCR by a Lector server")
    for name, variable, default, about in _OPTIONS:
        shown = f" (default: ${variable}, else {default})" if default else f" (default: ${variable})"
        group.add_argument("--" + name.replace("_", "-"), metavar="VALUE", help=about + shown)
    # argparse has no other way to extend an option.
    for action in parser._actions:
        if "--ocr-engine" in action.option_strings and _NAME not in action.choices:
            action.choices = [*action.choices, _NAME]


@hookimpl(tryfirst=True)
def check_options(options):
    """Checks the options, and chooses the renderer of hOCR."""
    if not _is_selected(options):
        return
    try:
        _client(options)
    except ValueError as error:
        raise BadArgsError(f"Lector: {error}") from error
    renderer = getattr(options, "pdf_renderer", "auto")
    if renderer == "sandwich":
        log.info("The renderer sandwich needs a PDF of an engine's own; Lector gives hOCR, and it is used instead.")
    if renderer in ("auto", "sandwich"):
        options.pdf_renderer = "hocr" if _MAJOR < 17 else "auto"


class LectorEngine(OcrEngine):
    """The OCR engine. OCRmyPDF calls its methods with keyword arguments."""

    @staticmethod
    def version() -> str:
        return version_of("ocrmypdf-lector")

    @staticmethod
    def creator_tag(options) -> str:
        return f"Lector (ocrmypdf-lector {LectorEngine.version()})"

    def __str__(self) -> str:
        return f"Lector (ocrmypdf-lector {LectorEngine.version()})"

    @staticmethod
    def languages(options) -> set[str]:
        # Empty: the check is skipped. The server knows its languages, and says which one it does not have.
        return set()

    @staticmethod
    def get_orientation(input_file: Path, options) -> OrientationConfidence:
        page = _read(_client(options).json, input_file)
        lines = page["lines"]
        characters = sum(character.isalnum() for line in lines for character in line["text"])
        if not lines or not characters:
            return OrientationConfidence(0, 0.0)
        mean = sum(line["confidence"] for line in lines) / len(lines)
        sure = min(characters / _CHARACTERS_SURE, 1.0)
        # The server gives the turn that corrects the page, clockwise; OCRmyPDF wants the turn that the page has.
        return OrientationConfidence(-page["rotation"] % 360, _CONFIDENCE_MAX * sure * mean)

    @staticmethod
    def get_deskew(input_file: Path, options) -> float:
        return _hocr.deskew_degrees(_read(_client(options).json, input_file)["lines"])

    @staticmethod
    def generate_hocr(input_file: Path, output_hocr: Path, output_text: Path, options) -> None:
        hocr = _read(_client(options).hocr, input_file)
        output_hocr.write_bytes(hocr)
        output_text.write_text(_hocr.text(hocr), encoding="utf-8")

    @staticmethod
    def generate_pdf(input_file: Path, output_pdf: Path, output_text: Path, options) -> None:
        raise PageNotRead("Lector gives hOCR: leave --pdf-renderer sandwich out")


def _read(request, input_file: Path):
    try:
        return request(Path(input_file).read_bytes())
    except LectorError as error:
        raise PageNotRead(f"Lector: {error}") from error


if _MAJOR >= 17:

    @hookimpl
    def register_options():
        """Registers the options of tesseract in the place of its plugin."""
        return {} if _has_tesseract() else tesseract_ocr.register_options()

    @hookimpl(tryfirst=True)
    def get_ocr_engine(options):
        """Returns the engine unless another one is selected."""
        return LectorEngine() if _is_selected(options) else None

else:
    # The hook of version 16 has no argument, and refuses an implementation with one.
    @hookimpl(tryfirst=True)
    def get_ocr_engine():
        """Returns the engine."""
        return LectorEngine()
