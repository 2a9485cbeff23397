"""Requests to a Lector server, with the standard library only."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request

# Statuses of an overloaded server; the header `Retry-After` has the time to wait.
_BUSY = (429, 503)


class LectorError(Exception):
    """A request that failed."""


class Client:
    def __init__(self, url: str, key: str, deployment: str, timeout_s: float, languages: str = ""):
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url} is not the address of a server: write it like http://127.0.0.1:8080")
        if not timeout_s > 0:
            raise ValueError(f"the timeout is {timeout_s}: use a number of seconds")
        self._url = url.rstrip("/")
        self._key = key
        self._deployment = deployment
        self._timeout_s = timeout_s
        self._languages = languages

    def hocr(self, image: bytes) -> bytes:
        """Returns the hOCR of an image."""
        return self._ocr(image, "hocr")

    def json(self, image: bytes) -> dict:
        """Returns the page of an image."""
        try:
            return json.loads(self._ocr(image, "json"))["pages"][0]
        except (ValueError, LookupError) as error:
            raise LectorError(f"{self._url} did not answer like a Lector server") from error

    def _ocr(self, image: bytes, form: str) -> bytes:
        query = {"format": form, "text_layer": "never"}
        if self._deployment:
            query["deployment"] = self._deployment
        if self._languages:
            query["languages"] = self._languages
        headers = {"Content-Type": "application/octet-stream"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(
            f"{self._url}/api/v1/ocr?{urllib.parse.urlencode(query)}", data=image, headers=headers, method="POST"
        )
        until = time.monotonic() + self._timeout_s
        while True:
            left = until - time.monotonic()
            try:
                with urllib.request.urlopen(request, timeout=max(left, 0.1)) as answer:
                    return answer.read()
            except urllib.error.HTTPError as error:
                wait = _wait_s(error)
                if error.code not in _BUSY or time.monotonic() + wait >= until:
                    raise LectorError(_message(error)) from error
                time.sleep(wait)
            except OSError as error:
                raise LectorError(f"{self._url} does not answer: {error}") from error


def _wait_s(error: urllib.error.HTTPError) -> float:
    try:
        return max(float(error.headers.get("Retry-After", "1")), 0.1)
    except ValueError:
        return 1.0


def _message(error: urllib.error.HTTPError) -> str:
    """Returns the problem of the server (RFC 9457)."""
    try:
        problem = json.loads(error.read())
        return f"{problem['detail']} ({problem['code']})"
    except (ValueError, LookupError, TypeError, OSError):
        return f"the server responded with status {error.code}"
