"""The tests of `deploy/integrations/ocrmypdf-lector` with the OCRmyPDF of this Python.

    python ocrmypdf_plugin.py --server http://127.0.0.1:8080 --lector target/release/lector

Needs ocrmypdf (16 or 17), pytest and reportlab, the plugin installed, and the programs pdftoppm and pdftotext.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2] / "deploy/integrations/ocrmypdf-lector/tests"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--lector")
    args = parser.parse_args()
    missing = [program for program in ("pdftoppm", "pdftotext") if not shutil.which(program)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    env = dict(os.environ, LECTOR_URL=args.server)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS)]
    sys.exit(subprocess.run(command, env=env).returncode)


if __name__ == "__main__":
    main()
