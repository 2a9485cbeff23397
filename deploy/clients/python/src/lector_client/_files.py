"""The documents that a request sends, and the files that results are written to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Union

Source = Union[str, "os.PathLike[str]", bytes, BinaryIO, tuple[str, Union[bytes, BinaryIO]]]
"""A document: a path, its bytes, an open binary file, or a pair of a name and one of the last two."""

# The server detects the type from the bytes, and refuses a type that contradicts them.
_CONTENT_TYPE = "application/octet-stream"

_FORMATS = {
    ".json": "json", ".txt": "text", ".md": "markdown", ".html": "html", ".hocr": "hocr", ".tsv": "tsv",
    ".csv": "csv", ".xlsx": "xlsx", ".pdf": "pdf", ".ndjson": "ndjson",
}


class Upload:
    """A document that can be sent again, if its source can be read again."""

    def __init__(self, source: Source) -> None:
        name: str | None = None
        if isinstance(source, tuple):
            name, source = source
        self._path: Path | None = None
        self._content: bytes | BinaryIO | None = None
        self._start = 0
        if isinstance(source, (str, os.PathLike)):
            self._path = Path(source)
            name = name or self._path.name
        elif isinstance(source, (bytes, bytearray, memoryview)):
            self._content = bytes(source)
        else:
            if name is None and isinstance(given := getattr(source, "name", None), str):
                name = Path(given).name
            self._content = source
            self._start = source.tell() if source.seekable() else 0
        self.name = name or "document"

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be sent a second time."""
        return self._content is None or isinstance(self._content, bytes) or self._content.seekable()

    def part(self, stack: ExitStack) -> tuple[str, tuple[str, bytes | BinaryIO, str]]:
        """Returns the part of a form, from the beginning of the document; `stack` closes its file."""
        content = self._content
        if self._path is not None:
            content = stack.enter_context(self._path.open("rb"))
        elif content is not None and not isinstance(content, bytes) and content.seekable():
            content.seek(self._start)
        assert content is not None
        return ("file", (self.name, content, _CONTENT_TYPE))


def format_of(path: Path, given: str | None) -> str:
    """Returns the format for a file: the given one, else that of its extension."""
    if given is not None:
        return given
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise ValueError(f"the extension of {path} names no format: give `format`")
    return found


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a file beside `path`, which takes its place when the block ends without an exception."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        # `mkstemp` makes a private file; the result has the mode of other new files.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
