"""A client of the OCR server Lector: `Client`, or `AsyncClient` with the same methods for asyncio."""

from ._async import AsyncClient, AsyncDeployments, AsyncJobs
from ._calls import Export
from ._files import Source
from ._retry import NO_RETRY, Retry
from ._sync import Client, Deployments, Jobs
from .errors import (
    AuthenticationFailed,
    Conflict,
    ConnectionFailed,
    DeadlineExceeded,
    DocumentFailed,
    DocumentUnreadable,
    JobFailed,
    LectorError,
    NotFound,
    PermissionDenied,
    ProblemError,
    RateLimited,
    RequestInvalid,
    ResponseInvalid,
    ServerFailed,
    StreamInterrupted,
    TooLarge,
    Unavailable,
    WaitTimeout,
)
from .models import Document, Event, Format, Job, JobEvent, Line, Page, Word

__all__ = [
    "NO_RETRY",
    "AsyncClient",
    "AsyncDeployments",
    "AsyncJobs",
    "AuthenticationFailed",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Deployments",
    "Document",
    "DocumentFailed",
    "DocumentUnreadable",
    "Event",
    "Export",
    "Format",
    "Job",
    "JobEvent",
    "JobFailed",
    "Jobs",
    "LectorError",
    "Line",
    "NotFound",
    "Page",
    "PermissionDenied",
    "ProblemError",
    "RateLimited",
    "RequestInvalid",
    "ResponseInvalid",
    "Retry",
    "ServerFailed",
    "Source",
    "StreamInterrupted",
    "TooLarge",
    "Unavailable",
    "WaitTimeout",
    "Word",
]
