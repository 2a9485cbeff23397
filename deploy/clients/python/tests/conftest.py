"""A fake server: answers requests from a list, and records them."""

import json
import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from lector_client import AsyncClient, Client  # noqa: E402

PROBLEM = {"type": "/problems/tenant_overloaded", "title": "Tenant overloaded", "blame": "client"}


def problem(status, code, headers=None, **members):
    body = {**PROBLEM, "status": status, "code": code, "detail": f"detail of {code}", **members}
    return httpx.Response(status, json=body, headers={"x-request-id": "r1", **(headers or {})})


def ndjson(*events, broken=False):
    lines = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    return httpx.Response(200, stream=Broken(lines)) if broken else httpx.Response(200, content=lines)


def sse(*events, broken=False):
    text = b": keep-alive\n\n"
    for event in events:
        text += f"event: {event['event']}\nid: {event['seq']}\ndata: {json.dumps(event)}\n\n".encode()
    return httpx.Response(200, stream=Broken(text)) if broken else httpx.Response(200, content=text)


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body whose connection breaks at its end."""

    def __init__(self, content):
        self.content = content

    def __iter__(self):
        yield self.content
        raise httpx.ReadError("connection reset")

    async def __aiter__(self):
        yield self.content
        raise httpx.ReadError("connection reset")


class Server:
    """Answers with the responses in order; an exception is raised in place of a response."""

    def __init__(self, *answers):
        self.answers, self.requests, self.waits = list(answers), [], []

    def __call__(self, request):
        request.read()
        return self.answer(request)

    async def later(self, request):
        await request.aread()
        return self.answer(request)

    def answer(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **options):
        client = Client("http://lector", transport=httpx.MockTransport(self), **options)
        client._sleep = self.waits.append
        return client

    def async_client(self, **options):
        client = AsyncClient("http://lector", transport=httpx.MockTransport(self.later), **options)

        async def sleep(seconds):
            self.waits.append(seconds)

        client._sleep = sleep
        return client


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("LECTOR_URL", "LECTOR_KEY"):
        monkeypatch.delenv(name, raising=False)
