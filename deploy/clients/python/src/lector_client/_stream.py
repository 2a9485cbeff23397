"""Streams of events: lines, NDJSON, and server-sent events."""

from __future__ import annotations

import json
from typing import Any

from .errors import ResponseInvalid

# An event is one page. This is far above any page, and bounds the memory that a broken server can use.
EVENT_BYTES_MAX = 64 << 20


class Lines:
    """Splits bytes into lines. Only a line feed ends one: other separators of Unicode occur in JSON."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the lines that end within these bytes."""
        *ended, rest = data.split(b"\n")
        lines = []
        for part in ended:
            self._parts.append(part)
            lines.append(b"".join(self._parts).rstrip(b"\r"))
            self._parts, self._held = [], 0
        if rest:
            self._parts.append(rest)
            self._held += len(rest)
            if self._held > EVENT_BYTES_MAX:
                raise ResponseInvalid(f"an event of the server is larger than {EVENT_BYTES_MAX} bytes")
        return lines


def event_of(text: bytes) -> dict[str, Any]:
    """Returns the JSON object of an event."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ResponseInvalid("an event of the server is not JSON") from error
    if not isinstance(value, dict):
        raise ResponseInvalid("an event of the server is not an object")
    return value


class ServerSentEvents:
    """Collects the data of server-sent events; their names and ids are also in the data."""

    def __init__(self) -> None:
        self._data: list[bytes] = []

    def line(self, line: bytes) -> dict[str, Any] | None:
        """Returns the event that ends with this line, if one does."""
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value[1:] if value.startswith(b" ") else value)
            return None
        if not self._data:
            return None
        data, self._data = b"\n".join(self._data), []
        return event_of(data)
