"""Lector, an OCR server. The commands `lector` and `lector-ocr`, and `python -m lector_ocr`, become the program that the
package contains, with everything that it reads beside it."""

import os
import sys

_ARCHIVE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "archive")


def program() -> str:
    """Returns the path of the program, for other Python code that starts it."""
    return os.path.join(_ARCHIVE, "lector")


def main() -> None:
    """Replaces this process by the program: signals, exit status and streams are its own."""
    path = program()
    try:
        os.execv(path, [path, *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"lector: cannot start {path}: {error.strerror}; it is for x86-64 Linux, and must be executable")
