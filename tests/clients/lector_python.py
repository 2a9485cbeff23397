"""The library of deploy/clients/python: one document, pages as they are read, a batch, formats, jobs, errors; blocking and
asynchronous."""

import asyncio
import contextlib
import io
import os
import pathlib
import shutil
import sys
import tempfile

LIBRARY = pathlib.Path(__file__).resolve().parents[2] / "deploy/clients/python"
sys.path.insert(0, str(LIBRARY / "src"))

import lector_client  # noqa: E402
from lector_client import AsyncClient, Client, models  # noqa: E402

server, pdf, png = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])


def texts(pages):
    return {page.page: page.text for page in pages}


with Client(server) as client, tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    assert "standard" in [deployment.name for deployment in client.deployments.list()]
    assert client.deployments.get("standard").revisions[0].state == "live"

    document = client.ocr(pdf, words=True)
    assert document.name == pdf.name and document.page_count == len(document.pages) > 1
    line = next(line for page in document.pages for line in page.lines)
    assert line.text and line.words and len(line.quad) == 4 and 0 <= line.confidence <= 1
    assert texts(client.pages(pdf)) == texts(document.pages)
    assert [page.page for page in client.pages(pdf, pages="2", order="page")] == [2]

    with png.open("rb") as picture:
        events = list(client.batch([pdf, ("line.png", picture), b"not a document"]))
    assert isinstance(events[0], models.MetaEvent) and isinstance(events[-1], models.EndEvent)
    assert (events[-1].documents_ok, events[-1].documents_failed) == (2, 1)
    failed = [event for event in events if isinstance(event, models.DocumentErrorEvent)]
    assert [event.document for event in failed] == [2]

    assert client.text(png).strip() and client.markdown(png).strip()
    assert client.save(png, folder / "line.pdf") == 0 and (folder / "line.pdf").read_bytes().startswith(b"%PDF")
    hocr = client.export(png, "hocr")
    assert hocr.content_type.startswith("text/html") and "ocr_page" in hocr.text and hocr.pages_failed == 0

    for error, call in {
        lector_client.RequestInvalid: lambda: client.ocr(png, dpi=1),
        lector_client.NotFound: lambda: client.ocr(png, deployment="none"),
        lector_client.DocumentUnreadable: lambda: client.ocr(pdf, pages="99"),
    }.items():
        try:
            call()
        except error as problem:
            assert problem.code and problem.request_id, problem
        else:
            raise AssertionError(f"no {error.__name__}")
    try:
        list(client.pages(b"%PDF-1.7 broken"))
    except lector_client.DocumentFailed as failure:
        assert failure.code, failure
    else:
        raise AssertionError("no DocumentFailed")

    submitted = client.jobs.submit([pdf, png], formats=["json", "markdown"], idempotency_key="lector_python")
    assert client.jobs.submit([pdf, png], formats=["json", "markdown"], idempotency_key="lector_python").id == submitted.id
    events = list(client.jobs.watch(submitted.id))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], models.JobEndEvent) and events[-1].state == "succeeded"
    assert list(client.jobs.watch(submitted.id, after=3)) == events[3:]
    job = client.jobs.wait(submitted.id, timeout_s=60)
    assert job.pages.ok == job.pages.total == document.page_count + 1
    assert texts(client.jobs.result(job.id, document=0).pages) == texts(document.pages)
    assert client.jobs.save(job.id, folder / "job.md", document=1) == 0
    assert (folder / "job.md").read_text() == client.jobs.export(job.id, "markdown", document=1).text
    assert client.jobs.page(job.id, 2, document=0).text == texts(document.pages)[2]
    assert job.id in [one.id for one in client.jobs.list(state="succeeded")]
    assert client.jobs.cancel(job.id).outcome == "forgotten"
    try:
        client.jobs.get(job.id)
    except lector_client.NotFound as problem:
        assert problem.code == "job_not_found"
    else:
        raise AssertionError("a deleted job was found")
    bad = client.jobs.submit([b"not a document"])
    try:
        client.jobs.wait(bad.id)
    except lector_client.JobFailed as failure:
        assert failure.code, failure
    else:
        raise AssertionError("no JobFailed")


async def main():
    async with AsyncClient(server) as client:
        whole, pages = await asyncio.gather(client.ocr(pdf), listed(client.pages(pdf)))
        assert texts(pages) == texts(whole.pages) == texts(document.pages)
        job = await client.jobs.submit([png])
        assert (await listed(client.jobs.watch(job.id)))[-1].state == "succeeded"
        assert (await client.jobs.result((await client.jobs.wait(job.id)).id)).pages_ok == 1


async def listed(iterator):
    return [item async for item in iterator]


asyncio.run(main())

try:
    Client("http://127.0.0.1:9", retry=lector_client.NO_RETRY).ocr(png)
except lector_client.ConnectionFailed as failure:
    assert "127.0.0.1:9" in str(failure)
else:
    raise AssertionError("no ConnectionFailed")

# The examples of the README, as a reader pastes them.
examples = [block.split("```")[0] for block in (LIBRARY / "README.md").read_text().split("```python\n")[1:]]
assert len(examples) == 2
with tempfile.TemporaryDirectory() as folder:
    shutil.copy(pdf, pathlib.Path(folder) / "scan.pdf")
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for example in examples:
            exec(example.replace("http://127.0.0.1:8080", server), {"__name__": "__main__"})
    assert pathlib.Path("searchable.pdf").is_file() and pathlib.Path("scan.md").is_file()
    assert "deployment_not_found" in printed.getvalue() and printed.getvalue().endswith("True\n")
    os.chdir("/")
print(f"{document.page_count} pages: {document.pages[0].text[:40]!r}")
