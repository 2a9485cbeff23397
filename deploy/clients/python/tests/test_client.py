import asyncio
import io
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import httpx
import pytest
from conftest import Server, ndjson, problem, sse

import lector_client
from lector_client import Client, Retry, models
from lector_client._stream import EVENT_BYTES_MAX, Lines
from lector_client.errors import retry_after

QUAD = [[0, 0], [1, 0], [1, 1], [0, 1]]
LINE = {"text": "Grüße", "confidence": 0.9, "quad": QUAD, "source": "ocr", "block_id": 1}
PAGE = {"page": 1, "text": "Grüße", "lines": [LINE], "size": {"width": 10, "height": 20}, "new_member": 1}
DOCUMENT = {"request_id": "r", "deployment": "standard", "page_count": 1, "pages": [PAGE]}
FAULT = {"code": "pdf_invalid", "message": "not a PDF", "blame": "client"}
END = {"event": "end", "documents_ok": 1, "documents_failed": 0, "pages_ok": 1, "pages_failed": 0}
JOB = {
    "id": "job_1", "state": "queued", "created_at": "2026-01-01T00:00:00Z", "formats": [], "priority": 0,
    "pages": {"ok": 0, "failed": 0, "total": None}, "documents": [], "attempts": 0, "last_event": 1,
}


def job(**members):
    return httpx.Response(200, json={**JOB, **members})


def event(seq, name, **members):
    return {"seq": seq, "event": name, "at": "2026-01-01T00:00:00Z", **members}


def test_a_document_is_read_with_options_and_key():
    server = Server(httpx.Response(200, json=DOCUMENT))
    client = server.client(key="k", tenant="t")
    document = client.ocr(("a.pdf", b"%PDF"), pages="1-3", words=True, dpi=200, password="ü", deployment=None)
    assert document.pages[0].lines[0].text == "Grüße"
    assert document.pages[0].lines[0].words is None and document.pages[0].size.width == 10
    (request,) = server.requests
    assert request.url.path == "/api/v1/ocr"
    assert dict(request.url.params) == {"format": "json", "pages": "1-3", "words": "true", "dpi": "200"}
    assert request.headers["authorization"] == "Bearer k" and request.headers["x-lector-tenant"] == "t"
    assert (b"X-Document-Password", "ü".encode()) in request.headers.raw
    assert b'filename="a.pdf"' in request.content and b"%PDF" in request.content


def test_an_unknown_option_is_named():
    with pytest.raises(TypeError, match="dip.*use one of pages, dpi"):
        Server().client().ocr(b"", dip=300)


def test_the_address_and_its_key_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("LECTOR_URL", "http://there/")
    monkeypatch.setenv("LECTOR_KEY", "secret")
    client = Client()
    assert client.server == "http://there" and client._http.headers["authorization"] == "Bearer secret"
    # The key belongs to the server of the environment.
    assert "authorization" not in Client("http://other")._http.headers
    with pytest.raises(ValueError, match="not the address"):
        Client("other:8080")


def test_pages_come_as_they_are_read():
    server = Server(
        ndjson(
            {"event": "meta", "request_id": "r", "deployment": "d"},
            {"event": "document", "document": 0, "page_count": 2, "pages": [1, 2]},
            {"event": "page", "document": 0, **PAGE, "page": 2},
            {"event": "page_error", "document": 0, "page": 1, "error": FAULT},
            {"event": "later_version"},
            END,
        )
    )
    pages = list(server.client().pages(b"%PDF"))
    assert [(page.page, page.error and page.error.code) for page in pages] == [(2, None), (1, "pdf_invalid")]
    assert server.requests[0].headers["accept"] == "application/x-ndjson"


def test_a_document_that_fails_as_a_whole_raises():
    failed = {"event": "document_error", "document": 0, "name": "a", "error": FAULT}
    with pytest.raises(lector_client.DocumentFailed, match="a: not a PDF") as caught:
        list(Server(ndjson(failed, END)).client().pages(b""))
    assert caught.value.code == "pdf_invalid"


def test_a_batch_yields_events_and_must_end():
    opened = {"event": "document", "document": 1, "page_count": 1, "pages": [1]}
    events = list(Server(ndjson(opened, END)).client().batch([b"a", b"b"], order="page"))
    assert isinstance(events[0], models.DocumentEvent) and isinstance(events[1], models.EndEvent)
    with pytest.raises(lector_client.StreamInterrupted):
        list(Server(ndjson(opened)).client().batch([b"a"]))
    with pytest.raises(lector_client.ConnectionFailed):
        list(Server(ndjson(opened, broken=True)).client().batch([b"a"]))
    with pytest.raises(TypeError, match="list of documents"):
        list(Server().client().batch("a.pdf"))


def test_formats_are_text_bytes_or_a_file(tmp_path):
    pdf = httpx.Response(200, content=b"%PDF-1.7", headers={"x-lector-pages-failed": "1"})
    server = Server(httpx.Response(200, text="# Grüße"), pdf)
    client = server.client()
    assert client.markdown(b"x") == "# Grüße"
    to = tmp_path / "scan.pdf"
    assert client.save(b"x", to, partial=True) == 1
    assert to.read_bytes() == b"%PDF-1.7" and list(tmp_path.iterdir()) == [to]
    assert dict(server.requests[1].url.params) == {"format": "pdf", "partial": "true"}
    with pytest.raises(ValueError, match="names no format"):
        client.save(b"x", tmp_path / "scan")


def test_a_broken_download_leaves_the_old_file(tmp_path):
    to = tmp_path / "scan.md"
    to.write_text("old")
    with pytest.raises(lector_client.StreamInterrupted):
        Server(ndjson({}, broken=True)).client().save(b"x", to)
    assert to.read_text() == "old" and list(tmp_path.iterdir()) == [to]


def test_retry_after_is_honored_and_the_document_is_sent_again(tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF")
    for source in (path, str(path), b"%PDF", io.BytesIO(b"%PDF"), ("n", io.BytesIO(b"%PDF"))):
        refused = problem(429, "tenant_overloaded", {"retry-after": "7"})
        server = Server(refused, httpx.ConnectError("refused"), httpx.Response(200, json=DOCUMENT))
        server.client().ocr(source)
        assert 7 <= server.waits[0] <= 8 and 0 <= server.waits[1] <= 1
        assert all(b"%PDF" in request.content for request in server.requests)


def test_waits_grow_and_end():
    server = Server(*[problem(503, "server_overloaded") for _ in range(4)])
    with pytest.raises(lector_client.Unavailable):
        server.client(retry=Retry(attempts=4, initial_s=1, longest_s=3)).ocr(b"x")
    assert len(server.waits) == 3
    assert all(wait <= most for wait, most in zip(server.waits, (1, 2, 3)))


@pytest.mark.parametrize(
    "answer",
    [
        problem(429, "quota_exceeded", {"retry-after": "40000"}),
        problem(504, "deadline_exceeded"),
        problem(422, "pdf_invalid"),
        problem(500, "internal"),
    ],
)
def test_what_a_repetition_cannot_help_is_an_error_at_once(answer):
    server = Server(answer)
    with pytest.raises(lector_client.ProblemError):
        server.client().ocr(b"x")
    assert len(server.requests) == 1


def test_a_source_that_cannot_be_read_again_is_sent_once():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    server = Server(problem(503, "server_overloaded"))
    with pytest.raises(lector_client.Unavailable):
        server.client().ocr(Pipe(b"x"))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, lector_client.RequestInvalid), (401, lector_client.AuthenticationFailed),
        (403, lector_client.PermissionDenied), (404, lector_client.NotFound), (409, lector_client.Conflict),
        (413, lector_client.TooLarge), (422, lector_client.DocumentUnreadable), (429, lector_client.RateLimited),
        (500, lector_client.ServerFailed), (503, lector_client.Unavailable), (504, lector_client.DeadlineExceeded),
    ],
)
def test_problems_are_typed_and_have_their_code(status, kind):
    answer = problem(status, "some_code", {"retry-after": "3"})
    with pytest.raises(kind, match="detail of some_code") as caught:
        Server(answer).client(retry=lector_client.NO_RETRY).ocr(b"x")
    error = caught.value
    assert (error.status, error.code, error.request_id, error.retry_after_s) == (status, "some_code", "r1", 3)


def test_an_answer_of_something_else_is_not_hidden():
    with pytest.raises(lector_client.ServerFailed) as caught:
        Server(httpx.Response(502, text="<html>")).client(retry=lector_client.NO_RETRY).ocr(b"x")
    assert caught.value.code == "http_502"
    for body in (httpx.Response(200, text="<html>"), httpx.Response(200, json={"pages": 3})):
        with pytest.raises(lector_client.ResponseInvalid):
            Server(body).client().ocr(b"x")


def test_retry_after_reads_seconds_and_dates():
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert retry_after("12") == 12
    assert retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now) == 60
    assert retry_after("Wed, 31 Dec 2025 00:01:00 GMT", now) == 0
    assert retry_after("soon") is None and retry_after(None) is None


def test_jobs_are_submitted_once_and_waited_for():
    server = Server(
        httpx.ReadError("broke"), httpx.Response(202, json=JOB), job(state="running"), job(state="succeeded")
    )
    client = server.client()
    submitted = client.jobs.submit([b"a", b"b"], formats=["markdown", "hocr"], priority=3)
    first, second = server.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert dict(second.url.params) == {"formats": "markdown,hocr", "priority": "3"}
    assert client.jobs.wait(submitted.id).state == "succeeded"
    assert server.requests[-1].headers["prefer"] == "wait=50"


def test_a_job_that_fails_or_takes_too_long_raises():
    error = {"code": "document_empty", "message": "it is empty"}
    with pytest.raises(lector_client.JobFailed, match="it is empty") as caught:
        Server(job(state="failed", error=error)).client().jobs.wait("job_1")
    assert caught.value.code == "document_empty"
    with pytest.raises(lector_client.WaitTimeout) as late:
        Server(job(state="running")).client().jobs.wait("job_1", timeout_s=0)
    assert late.value.job.state == "running"


def test_watching_resumes_after_the_last_event():
    server = Server(
        sse(event(1, "queued"), event(2, "running"), broken=True),
        httpx.ConnectError("refused"),
        sse(event(3, "page", document=0, page=1)),
        sse(event(4, "unknown"), event(5, "end", state="succeeded")),
    )
    events = list(server.client().jobs.watch("job_1"))
    assert [one.seq for one in events] == [1, 2, 3, 5]
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "2", "2", "3"]
    assert isinstance(events[-1], models.JobEndEvent) and events[-1].state == "succeeded"


def test_watching_a_server_that_never_ends_the_stream_ends():
    server = Server(*[sse(event(1, "queued")) for _ in range(3)])
    with pytest.raises(lector_client.StreamInterrupted, match="after=1"):
        list(server.client(retry=Retry(attempts=3)).jobs.watch("job_1"))
    assert not server.answers


def test_lists_are_read_page_by_page():
    server = Server(
        httpx.Response(200, json={"jobs": [JOB], "next": "c1"}),
        httpx.Response(200, json={"jobs": [JOB], "next": None}),
        httpx.Response(200, json={"deployments": [DEPLOYMENT]}),
    )
    client = server.client()
    assert len(list(client.jobs.list(state="queued"))) == 2
    assert dict(server.requests[1].url.params) == {"state": "queued", "cursor": "c1"}
    (deployment,) = client.deployments.list()
    assert deployment.revisions[0].state == "live" and deployment.revisions[0].component is None


REVISION = {"number": 1, "state": "live", "percent": 100, "leases": 0}
DEPLOYMENT = {
    "name": "standard", "shared": True, "version": 1, "weights": [{"revision": 1, "percent": 100}],
    "changed_at": "2026-01-01T00:00:00Z", "etag": "e", "revisions": [REVISION],
}


def test_results_pages_and_cancellation(tmp_path):
    server = Server(
        httpx.Response(200, json=DOCUMENT),
        httpx.Response(200, text="text"),
        httpx.Response(200, text="# text"),
        httpx.Response(200, json=PAGE),
        httpx.Response(200, json={"outcome": "canceled"}),
    )
    jobs = server.client().jobs
    assert jobs.result("job_1", document=1).page_count == 1
    assert jobs.export("job_1", "text").text == "text"
    assert jobs.save("job_1", tmp_path / "a.md") == 0 and (tmp_path / "a.md").read_text() == "# text"
    assert jobs.page("job_1", 1, document=0).page == 1
    assert jobs.cancel("job/1").outcome == "canceled"
    assert server.requests[-1].url.raw_path == b"/api/v1/jobs/job%2F1"
    assert dict(server.requests[0].url.params) == {"format": "json", "document": "1"}


def test_lines_end_at_line_feeds_alone():
    lines = Lines()
    assert lines.feed("a\u2028b".encode()) == []
    assert lines.feed(b"\x85\r\nc\n\nd") == ["a\u2028b".encode() + b"\x85", b"c", b""]
    with pytest.raises(lector_client.ResponseInvalid):
        lines.feed(b"x" * (EVENT_BYTES_MAX + 1))


def test_the_asynchronous_client_does_the_same():
    async def main():
        server = Server(
            problem(503, "server_overloaded", {"retry-after": "1"}),
            httpx.Response(200, json=DOCUMENT),
            ndjson({"event": "page", "document": 0, **PAGE}, END),
            httpx.Response(202, json=JOB),
            sse(event(1, "queued"), broken=True),
            sse(event(2, "end", state="succeeded")),
        )
        async with server.async_client() as client:
            assert (await client.ocr(b"x")).pages[0].page == 1
            assert [page.page async for page in client.pages(b"x")] == [1]
            submitted = await client.jobs.submit([b"x"])
            assert [one.seq async for one in client.jobs.watch(submitted.id)] == [1, 2]
        assert 1 <= server.waits[0] <= 1.1 and not server.answers

    asyncio.run(main())


def test_generated_files_are_current():
    script = Path(__file__).resolve().parents[2] / "generate.py"
    run = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, env=os.environ)
    assert run.returncode == 0, run.stdout + run.stderr
