"""The exceptions of the library.

Every exception is a `LectorError`. The server answers a refused request with problem details (RFC 9457): these are
`ProblemError`, with a subclass for each class of status and the stable code in `code`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from .models import Fault, Job


class LectorError(Exception):
    """An error of this library."""


class ConnectionFailed(LectorError):
    """The server could not be reached, or the connection broke before the response."""


class StreamInterrupted(LectorError):
    """A stream ended before its end. The pages that arrived before are valid."""


class ResponseInvalid(LectorError):
    """The response is not one of this API: the address may be that of another server, or of an older one."""


class DocumentFailed(LectorError):
    """A document failed as a whole within a response of success."""

    def __init__(self, fault: Fault, name: str | None = None) -> None:
        super().__init__(f"{name + ': ' if name else ''}{fault.message} ({fault.code})")
        self.code: str = fault.code
        """The problem code."""
        self.fault = fault
        """What happened."""
        self.name = name
        """Name of the document."""


class JobFailed(LectorError):
    """A job ended without success."""

    def __init__(self, job: Job) -> None:
        reason = f": {job.error.message} ({job.error.code})" if job.error else ""
        super().__init__(f"job {job.id} is {job.state}{reason}")
        self.job = job
        """The job."""
        self.code: str | None = job.error.code if job.error else None
        """The problem code of the first document that failed."""


class WaitTimeout(LectorError):
    """A job was not finished within the time that the caller waits. It goes on."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} is still {job.state}: wait again, or watch it")
        self.job = job
        """The job as it was at the end of the wait."""


class ProblemError(LectorError):
    """The server refused a request, or failed."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        title: str = "",
        blame: str = "",
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{detail} ({code})")
        self.status = status
        """Status of the response."""
        self.code = code
        """Stable code for programs, such as `tenant_overloaded`; `http_STATUS` if the response is not the server's."""
        self.detail = detail
        """What failed, the limit and the value if there is one, and what to do next."""
        self.title = title
        """Short title of the code."""
        self.blame = blame
        """The party that can correct it: `client`, `guest` or `host`; empty if it is not known."""
        self.request_id = request_id
        """Id of the request, for the operator of the server."""
        self.retry_after_s = retry_after_s
        """Seconds after which the server expects that a repetition succeeds."""


class RequestInvalid(ProblemError):
    """The request is not valid (400, 405, 406, 408, 415): an option, the form, or the type of the document."""


class AuthenticationFailed(ProblemError):
    """The key is missing, unknown, expired or revoked (401)."""


class PermissionDenied(ProblemError):
    """The key may not do this (403)."""


class NotFound(ProblemError):
    """The deployment, job, page or tenant does not exist, or belongs to another tenant (404)."""


class Conflict(ProblemError):
    """The state of the object does not allow it (409, 412): for example, the job is not finished."""


class TooLarge(ProblemError):
    """The document exceeds a limit (413)."""


class DocumentUnreadable(ProblemError):
    """The document or its pages cannot be read (422)."""


class RateLimited(ProblemError):
    """The tenant has reached a limit (429)."""


class Unavailable(ProblemError):
    """The server is overloaded, starting or stopping (503)."""


class DeadlineExceeded(ProblemError):
    """The request took longer than its timeout (504)."""


class ServerFailed(ProblemError):
    """The server or a proxy before it failed (other 5xx)."""


_BY_STATUS: dict[int, type[ProblemError]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: TooLarge,
    422: DocumentUnreadable,
    429: RateLimited,
    503: Unavailable,
    504: DeadlineExceeded,
}


def problem_of(status: int, headers: Mapping[str, str], body: bytes) -> ProblemError:
    """Returns the exception of a response without success."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    problem = found if isinstance(found, dict) else {}
    kind = _BY_STATUS.get(status, ServerFailed if status >= 500 else RequestInvalid)
    return kind(
        status=status,
        code=str(problem.get("code") or f"http_{status}"),
        detail=str(problem.get("detail") or problem.get("title") or f"the server answered with status {status}"),
        title=str(problem.get("title") or ""),
        blame=str(problem.get("blame") or ""),
        request_id=headers.get("x-request-id"),
        retry_after_s=retry_after(headers.get("retry-after")),
    )


def retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Returns the seconds of a header `Retry-After`: a number, or a date."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text.strip())
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return max(0.0, (at - (now or datetime.now(timezone.utc))).total_seconds())
