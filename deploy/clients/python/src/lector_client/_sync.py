# Generated from `_async.py` by `python3 deploy/clients/generate.py`: do not edit.
"""The client with a blocking interface."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Generator, Iterator, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from . import _calls, _files, models
from ._calls import FINISHED, Call, Export
from ._files import Source
from ._retry import Retry
from ._stream import Lines, ServerSentEvents, event_of
from .errors import (
    ConnectionFailed,
    DocumentFailed,
    JobFailed,
    ResponseInvalid,
    StreamInterrupted,
    WaitTimeout,
    problem_of,
)
from .models import (
    BATCH_OPTIONS,
    JOB_OPTIONS,
    OCR_OPTIONS,
    BatchOptions,
    Deployment,
    Document,
    Event,
    Format,
    Job,
    JobDeletion,
    JobEvent,
    JobOptions,
    JobState,
    OcrOptions,
    Page,
)

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

# The server's own deadline of a request is 300 s by default.
_TIMEOUT = httpx.Timeout(330.0, connect=10.0)
# Longest wait of one request for a job; proxies close connections that are silent for a minute.
_WAIT_S = 50.0
# Pause after a wait that the server ended early, for example because it stops.
_PAUSE_S = 1.0
_OCR = "/api/v1/ocr"
_BATCH = "/api/v1/ocr/batch"
_JOBS = "/api/v1/jobs"
_PAGES_FAILED = "x-lector-pages-failed"


class Client:
    """A Lector server, through a blocking interface."""

    def __init__(
        self,
        server: str | None = None,
        *,
        key: str | None = None,
        tenant: str | None = None,
        retry: Retry = Retry(),
        timeout: float | httpx.Timeout = _TIMEOUT,
        transport: httpx.BaseTransport | None = None,
        **http: Any,
    ) -> None:
        """Makes a client; it connects with the first request.

        Without `server`, the address and the key are those of the environment: `LECTOR_URL` and `LECTOR_KEY`.
        `tenant` is the tenant for which an administrator's key acts. `http` are further arguments of the HTTP client of
        httpx, such as `verify` or `proxy`.
        """
        self.server, key = _calls.connection(server, key)
        self.retry = retry
        self._http = httpx.Client(
            base_url=self.server,
            headers=_calls.credentials(key, tenant),
            timeout=timeout,
            transport=transport,
            **http,
        )
        self._sleep = time.sleep
        self.jobs = Jobs(self)
        self.deployments = Deployments(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def ocr(self, file: Source, **options: Unpack[OcrOptions]) -> Document:
        """Reads a document. A page that failed is in its place with `error`."""
        call = Call("POST", _OCR, {"format": "json"}, uploads=[_files.Upload(file)])
        value = self._json(_calls.placed(call, options, OCR_OPTIONS))
        return _calls.parsed(Document.from_json, value)

    def pages(self, file: Source, **options: Unpack[BatchOptions]) -> Generator[Page, None]:
        """Yields the pages of a document as they are read, in the order in which they finish unless `order="page"`.

        A page that failed has `error`. Raises `DocumentFailed` if the document cannot be read at all.
        """
        for value in self._batch([file], options):
            kind = value.get("event")
            if kind in ("page", "page_error"):
                yield _calls.parsed(Page.from_json, value)
            elif kind == "document_error":
                failed = _calls.parsed(models.DocumentErrorEvent.from_json, value)
                raise DocumentFailed(failed.error, failed.name)

    def batch(
        self, files: Iterable[Source], **options: Unpack[BatchOptions]
    ) -> Generator[Event, None]:
        """Reads several documents and yields the events as they arrive; `document` is the index of the file."""
        for value in self._batch(files, options):
            event = _calls.parsed(models.event, value)
            if event is not None:
                yield event

    def export(
        self, file: Source, format: Format, **options: Unpack[OcrOptions]
    ) -> Export:
        """Reads a document and returns it in an output format.

        Pages that fail are an error, except in formats that report them, and with `partial=True`.
        """
        response = self._exported(file, format, options)
        try:
            return _export(response, _whole(response))
        finally:
            response.close()

    def markdown(self, file: Source, **options: Unpack[OcrOptions]) -> str:
        """Returns a document as Markdown."""
        return (self.export(file, "markdown", **options)).text

    def text(self, file: Source, **options: Unpack[OcrOptions]) -> str:
        """Returns the text of a document."""
        return (self.export(file, "text", **options)).text

    def save(
        self,
        file: Source,
        to: str | os.PathLike[str],
        format: Format | None = None,
        **options: Unpack[OcrOptions],
    ) -> int:
        """Reads a document and writes it to a file: a searchable PDF to `scan.pdf`, Markdown to `scan.md`, ...

        The format is that of the extension unless it is given. The file appears when it is complete. Returns the number
        of pages that failed, which is 0 unless `partial=True`.
        """
        path = Path(to)
        response = self._exported(file, _files.format_of(path, format), options)
        return _saved(response, path)

    def api(
        self, method: str, path: str, *, query: dict[str, str] | None = None, json: Any = None
    ) -> Any:
        """Sends a request of another part of the API, such as `/api/v1/usage`; returns the JSON of the response.

        Only requests that read are repeated.
        """
        call = Call(method, path, query or {}, json=json, is_repeatable=method in ("GET", "HEAD"))
        return self._json(call)

    def _exported(self, file: Source, format: str, options: OcrOptions) -> httpx.Response:
        call = Call("POST", _OCR, {"format": format}, uploads=[_files.Upload(file)])
        return self._send(_calls.placed(call, options, OCR_OPTIONS))

    def _batch(
        self, files: Iterable[Source], options: BatchOptions
    ) -> Iterator[dict[str, Any]]:
        call = Call("POST", _BATCH, headers={"accept": "application/x-ndjson"}, uploads=_calls.uploads(files))
        response = self._send(_calls.placed(call, options, BATCH_OPTIONS))
        try:
            for line in _lines(response):
                if not line.strip():
                    continue  # keeps the connection alive
                event = event_of(line)
                yield event
                if event.get("event") == "end":
                    return
        finally:
            response.close()
        raise StreamInterrupted("the response ended before the end of the batch: send the document again")

    def _json(self, call: Call) -> Any:
        call.headers.setdefault("accept", "application/json")
        response = self._send(call)
        try:
            body = _whole(response)
        finally:
            response.close()
        if not body:
            return None
        try:
            return httpx.Response(200, content=body).json()
        except ValueError as error:
            message = f"{self.server} answered {call.method} {call.path} with a body that is not JSON"
            raise ResponseInvalid(message) from error

    def _send(self, call: Call) -> httpx.Response:
        """Sends a request, again where that may help; returns the response of success, whose body is not read yet."""
        attempt = 0
        while True:
            attempt += 1
            with ExitStack() as files:
                request = self._http.build_request(
                    call.method,
                    call.path,
                    params=call.query,
                    headers=[(name.encode(), value.encode()) for name, value in call.headers.items()],
                    **call.body(files),
                )
                try:
                    response = self._http.send(request, stream=True)
                    if response.is_success:
                        return response
                    try:
                        response.read()
                    finally:
                        response.close()
                except httpx.TransportError as error:
                    # A server that was silent for the whole timeout would be so again.
                    hopeless = isinstance(error, (httpx.UnsupportedProtocol, httpx.ReadTimeout))
                    wait = self.retry.wait_s(attempt) if call.can_repeat and not hopeless else None
                    if wait is None:
                        reason = str(error) or type(error).__name__
                        raise ConnectionFailed(f"asking {self.server}: {reason}") from error
                else:
                    problem = problem_of(response.status_code, response.headers, response.content)
                    delay = self.retry.after(attempt, problem)
                    # The server refuses before it does anything, so a refused request can always be repeated.
                    if delay is None or not all(upload.is_repeatable for upload in call.uploads):
                        raise problem
                    wait = delay
            self._sleep(wait)


class Jobs:
    """Jobs: documents that are read later, and survive a restart of the server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def submit(
        self,
        files: Iterable[Source],
        *,
        formats: Sequence[Format] = (),
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submits documents as one job. It is durable when this returns.

        Name in `formats` what will be requested: pages are read with what they need. A second submission with the same
        `idempotency_key` returns the first job; without one, a random key makes repetitions by this library safe.
        """
        call = Call("POST", _JOBS, uploads=_calls.uploads(files))
        call.headers["idempotency-key"] = idempotency_key or str(uuid.uuid4())
        if formats:
            call.query["formats"] = ",".join(formats)
        value = self._client._json(_calls.placed(call, options, JOB_OPTIONS))
        return _calls.parsed(Job.from_json, value)

    def get(self, job: str) -> Job:
        """Returns a job."""
        return self._get(job, {})

    def list(self, *, state: JobState | None = None) -> Generator[Job, None]:
        """Yields the jobs of the tenant, newest first."""
        query: dict[str, str] = {"state": state} if state else {}
        while True:
            value = self._client._json(Call("GET", _JOBS, dict(query)))
            page = _calls.parsed(models.JobList.from_json, value)
            for job in page.jobs:
                yield job
            if not page.next:
                return
            query["cursor"] = page.next

    def wait(self, job: str, *, timeout_s: float | None = None) -> Job:
        """Waits for the end of a job and returns it.

        Raises `JobFailed` if it failed or was canceled, and `WaitTimeout` after `timeout_s`. Pages that failed do not fail
        a job: look at `pages.failed`.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = _WAIT_S if end is None else end - time.monotonic()
            asked = min(_WAIT_S, left)
            found = self._get(job, {"prefer": f"wait={max(0, round(asked))}"})
            if found.state == "succeeded":
                return found
            if found.state in FINISHED:
                raise JobFailed(found)
            if end is not None and time.monotonic() >= end:
                raise WaitTimeout(found)
            self._client._sleep(_PAUSE_S)

    def watch(self, job: str, *, after: int = 0) -> Generator[JobEvent, None]:
        """Yields the events of a job to its end; begins after the event with number `after`.

        A lost connection, or a server that restarts, is resumed after the last event: none is lost, and none comes twice.
        """
        attempt = 0
        while True:
            before = after
            try:
                for value in self._events(job, after):
                    number = int(value.get("seq", 0))
                    if number <= after:
                        continue
                    after = number
                    event = _calls.parsed(models.job_event, value)
                    if event is not None:
                        yield event
                    if value.get("event") == "end":
                        return
                reason: Exception | None = None
            except (httpx.TransportError, ConnectionFailed) as error:
                reason = error
            attempt = 1 if after > before else attempt + 1
            wait = self._client.retry.wait_s(attempt)
            if wait is None:
                message = f"the events of {job} ended after number {after}: watch it again with after={after}"
                raise StreamInterrupted(message) from reason
            self._client._sleep(wait)

    def result(self, job: str, *, document: int | None = None) -> Document:
        """Returns the result of a document of a job; `document`, from 0, may be left out for a job of one."""
        value = self._client._json(self._result(job, "json", document, False))
        return _calls.parsed(Document.from_json, value)

    def export(
        self, job: str, format: Format, *, document: int | None = None, partial: bool = False
    ) -> Export:
        """Returns the result of a document of a job in an output format."""
        response = self._client._send(self._result(job, format, document, partial))
        try:
            return _export(response, _whole(response))
        finally:
            response.close()

    def save(
        self,
        job: str,
        to: str | os.PathLike[str],
        format: Format | None = None,
        *,
        document: int | None = None,
        partial: bool = False,
    ) -> int:
        """Writes the result of a document of a job to a file, as it arrives. Returns the number of pages that failed."""
        path = Path(to)
        call = self._result(job, _files.format_of(path, format), document, partial)
        return _saved(self._client._send(call), path)

    def page(self, job: str, page: int, *, document: int | None = None) -> Page:
        """Returns a page, from 1, also of a job that is not finished."""
        call = Call("GET", f"{_JOBS}/{_calls.segment(job)}/pages/{page}")
        if document is not None:
            call.query["document"] = str(document)
        return _calls.parsed(Page.from_json, self._client._json(call))

    def cancel(self, job: str) -> JobDeletion:
        """Cancels a job that is not finished. One that is finished is deleted with its results."""
        call = Call("DELETE", f"{_JOBS}/{_calls.segment(job)}", is_repeatable=False)
        return _calls.parsed(JobDeletion.from_json, self._client._json(call))

    def _get(self, job: str, headers: dict[str, str]) -> Job:
        call = Call("GET", f"{_JOBS}/{_calls.segment(job)}", headers=headers)
        return _calls.parsed(Job.from_json, self._client._json(call))

    @staticmethod
    def _result(job: str, format: str, document: int | None, partial: bool) -> Call:
        call = Call("GET", f"{_JOBS}/{_calls.segment(job)}/result", {"format": format})
        if document is not None:
            call.query["document"] = str(document)
        if partial:
            call.query["partial"] = "true"
        return call

    def _events(self, job: str, after: int) -> Iterator[dict[str, Any]]:
        call = Call("GET", f"{_JOBS}/{_calls.segment(job)}/events", headers={"accept": "text/event-stream"})
        if after:
            call.headers["last-event-id"] = str(after)
        response = self._client._send(call)
        events = ServerSentEvents()
        try:
            for line in _lines(response):
                event = events.line(line)
                if event is not None:
                    yield event
        finally:
            response.close()


class Deployments:
    """The deployments that the tenant can use."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Generator[Deployment, None]:
        """Yields the deployments, by name."""
        query: dict[str, str] = {}
        while True:
            value = self._client._json(Call("GET", "/api/v1/deployments", dict(query)))
            page = _calls.parsed(models.DeploymentList.from_json, value)
            for deployment in page.deployments:
                yield deployment
            if not page.next:
                return
            query["cursor"] = page.next

    def get(self, name: str) -> Deployment:
        """Returns a deployment."""
        call = Call("GET", f"/api/v1/deployments/{_calls.segment(name)}")
        return _calls.parsed(Deployment.from_json, self._client._json(call))


def _lines(response: httpx.Response) -> Iterator[bytes]:
    lines = Lines()
    try:
        for chunk in response.iter_bytes():
            for line in lines.feed(chunk):
                yield line
    except httpx.TransportError as error:
        raise ConnectionFailed(f"the stream of events broke: {error}") from error


def _whole(response: httpx.Response) -> bytes:
    try:
        return response.read()
    except httpx.TransportError as error:
        raise StreamInterrupted(f"the response broke before its end: {error}") from error


def _saved(response: httpx.Response, path: Path) -> int:
    try:
        with _files.replacing(path) as file:
            try:
                for chunk in response.iter_bytes():
                    file.write(chunk)
            except httpx.TransportError as error:
                raise StreamInterrupted(f"the response broke before its end: {error}") from error
    finally:
        response.close()
    return int(response.headers.get(_PAGES_FAILED, "0"))


def _export(response: httpx.Response, content: bytes) -> Export:
    failed = int(response.headers.get(_PAGES_FAILED, "0"))
    return Export(content, response.headers.get("content-type", ""), failed)
