"""Requests as values: what is sent, without how. Both clients send them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Callable, TypeVar
from urllib.parse import quote

from ._files import Upload
from .errors import ResponseInvalid

T = TypeVar("T")

DEFAULT_SERVER = "http://127.0.0.1:8080"
FINISHED = frozenset({"succeeded", "failed", "canceled"})
"""The states in which a job has ended."""


@dataclass
class Call:
    """A request to the API."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)
    json: Any = None
    is_repeatable: bool = True
    """Whether a repetition has no effect beyond that of one request."""

    @property
    def can_repeat(self) -> bool:
        """Whether it may be sent again after a broken connection."""
        return self.is_repeatable and all(upload.is_repeatable for upload in self.uploads)

    def body(self, stack: ExitStack) -> dict[str, Any]:
        """Returns the body for the HTTP client; `stack` closes its files."""
        if self.uploads:
            return {"files": [upload.part(stack) for upload in self.uploads]}
        return {} if self.json is None else {"json": self.json}


@dataclass(frozen=True)
class Export:
    """A document in an output format."""

    content: bytes
    """The output."""
    content_type: str
    """Its type."""
    pages_failed: int
    """Pages that failed, and are missing; 0 unless `partial=True`."""

    @property
    def text(self) -> str:
        """The output of a format of text."""
        return self.content.decode()


def connection(server: str | None, key: str | None) -> tuple[str, str | None]:
    """Returns the address and the key; without an address, those of `LECTOR_URL` and `LECTOR_KEY`."""
    if server is None:
        # A key of the environment goes to the server of the environment only.
        server = os.environ.get("LECTOR_URL") or DEFAULT_SERVER
        key = key if key is not None else os.environ.get("LECTOR_KEY") or None
    if not server.startswith(("http://", "https://")):
        raise ValueError(f"{server!r} is not the address of a server: write it like {DEFAULT_SERVER}")
    return server.rstrip("/"), key


def credentials(key: str | None, tenant: str | None) -> dict[str, str]:
    """Returns the headers that every request has."""
    headers = {}
    if key:
        headers["authorization"] = f"Bearer {key}"
    if tenant:
        headers["x-lector-tenant"] = tenant
    return headers


def placed(call: Call, options: Mapping[str, Any], places: Mapping[str, tuple[str, str]]) -> Call:
    """Puts options into the query and the headers of a request. `None` is an option that was not given."""
    for name, value in options.items():
        if name not in places:
            known = ", ".join(places)
            raise TypeError(f"there is no option {name!r}: use one of {known}")
        if value is None:
            continue
        where, wire = places[name]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        (call.headers if where == "header" else call.query)[wire] = text
    return call


def uploads(files: Iterable[Any]) -> list[Upload]:
    """Returns the documents of a request."""
    if isinstance(files, (str, bytes, os.PathLike)):
        raise TypeError("give a list of documents, not one")
    found = [Upload(file) for file in files]
    if not found:
        raise ValueError("there is no document")
    return found


def segment(text: str) -> str:
    """Returns a part of a path."""
    return quote(text, safe="")


def parsed(parse: Callable[[Any], T], value: Any) -> T:
    """Returns the object of a JSON value."""
    try:
        return parse(value)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ResponseInvalid(f"the response of the server has another form: {error!r}") from error
