import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import * as lector from "../dist/index.js";
import { file, save } from "../dist/node.js";
import { retryAfter } from "../dist/errors.js";

const PAGE = { page: 1, text: "Grüße", lines: [] };
const DOCUMENT = { request_id: "r", deployment: "standard", page_count: 1, pages: [PAGE] };
const FAULT = { code: "pdf_invalid", message: "not a PDF", blame: "client" };
const END = { event: "end", documents_ok: 1, documents_failed: 0, pages_ok: 1, pages_failed: 0 };
const JOB = { id: "job_1", state: "queued", formats: [], documents: [], pages: { ok: 0, failed: 0, total: null } };
const PDF = new TextEncoder().encode("%PDF");

const json = (value, status = 200, headers = {}) => new Response(JSON.stringify(value), { status, headers });
const problem = (status, code, headers = {}) =>
  json({ status, code, title: "t", detail: `detail of ${code}`, blame: "client" }, status, {
    "x-request-id": "r1",
    ...headers,
  });
const broken = (text) => {
  let sent = false;
  const stream = new ReadableStream({
    pull(controller) {
      if (sent) controller.error(new TypeError("terminated"));
      else controller.enqueue(new TextEncoder().encode(text));
      sent = true;
    },
  });
  return new Response(stream);
};
const ndjson = (...events) => new Response(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
const sseText = (...events) =>
  ": keep-alive\n\n" +
  events.map((event) => `event: ${event.event}\nid: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`).join("");
const sse = (...events) => new Response(sseText(...events));

/** A server that answers with the responses in order, and its client. */
function fake(answers, options = {}) {
  const requests = [];
  const waits = [];
  const fetch = async (url, init) => {
    const request = new Request(url, init);
    requests.push({ url: new URL(url), headers: request.headers, body: init.body, method: init.method });
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const sleep = async (seconds) => void waits.push(seconds);
  return { client: new lector.Client("http://lector/", { fetch, sleep, ...options }), requests, waits, answers };
}
const all = async (iterable) => {
  const found = [];
  for await (const item of iterable) found.push(item);
  return found;
};

test("a document is read with options and key", async () => {
  const { client, requests } = fake([json(DOCUMENT)], { key: "k", tenant: "t" });
  const document = await client.ocr({ name: "a.pdf", data: PDF }, { pages: "1-3", words: true, password: "ü" });
  assert.equal(document.pages[0].text, "Grüße");
  const [request] = requests;
  assert.equal(request.url.href, "http://lector/api/v1/ocr?format=json&pages=1-3&words=true");
  assert.equal(request.headers.get("authorization"), "Bearer k");
  assert.equal(request.headers.get("x-lector-tenant"), "t");
  assert.equal(request.headers.get("x-document-password"), "\u00c3\u00bc");
  const part = request.body.get("file");
  assert.equal(part.name, "a.pdf");
  assert.equal(part.type, "application/octet-stream");
  assert.equal(await part.text(), "%PDF");
  await assert.rejects(client.ocr(PDF, { dip: 300 }), /no option dip: use one of pages, dpi/);
  assert.throws(() => new lector.Client("lector:8080"), /not the address/);
});

test("pages come as they are read", async () => {
  const { client } = fake([
    ndjson(
      { event: "document", document: 0, page_count: 2, pages: [1, 2] },
      { event: "page", document: 0, ...PAGE, page: 2 },
      { event: "page_error", document: 0, page: 1, error: FAULT },
      END,
    ),
  ]);
  const pages = await all(client.pages(PDF));
  assert.deepEqual(
    pages.map((page) => [page.page, page.error?.code]),
    [[2, undefined], [1, "pdf_invalid"]],
  );
});

test("a document that fails as a whole throws", async () => {
  const { client } = fake([ndjson({ event: "document_error", document: 0, name: "a", error: FAULT }, END)]);
  await assert.rejects(all(client.pages(PDF)), (error) => {
    assert(error instanceof lector.DocumentFailed && error.code === "pdf_invalid");
    return /a: not a PDF/.test(error.message);
  });
});

test("a batch must end", async () => {
  const page = { event: "page", document: 0, ...PAGE };
  const { client } = fake([ndjson(page), broken(JSON.stringify(page) + "\n"), ndjson(page, END)]);
  await assert.rejects(all(client.batch([PDF])), lector.StreamInterrupted);
  await assert.rejects(all(client.batch([PDF])), lector.ConnectionFailed);
  assert.deepEqual((await all(client.batch([PDF, PDF]))).map((event) => event.event), ["page", "end"]);
  await assert.rejects(all(client.batch([])), /no document/);
});

test("formats are text, bytes or a file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lector-client-"));
  const pdf = new Response("%PDF-1.7", { headers: { "x-lector-pages-failed": "1" } });
  const { client, requests } = fake([new Response("# Grüße"), pdf, broken("half")]);
  assert.equal(await client.markdown(PDF), "# Grüße");
  await writeFile(join(folder, "in.pdf"), "%PDF");
  const document = await file(join(folder, "in.pdf"));
  const to = join(folder, "out.pdf");
  assert.equal(await save(await client.export(document, "pdf", { partial: true }), to), 1);
  assert.equal(await readFile(to, "utf8"), "%PDF-1.7");
  assert.equal(requests[1].url.search, "?format=pdf&partial=true");
  assert.equal(await requests[1].body.get("file").text(), "%PDF");
  // A broken download leaves the old file.
  await assert.rejects(async () => save(await client.export(PDF, "pdf"), to));
  assert.deepEqual((await readdir(folder)).sort(), ["in.pdf", "out.pdf"]);
  assert.equal(await readFile(to, "utf8"), "%PDF-1.7");
});

test("Retry-After is honored", async () => {
  const refused = problem(429, "tenant_overloaded", { "retry-after": "7" });
  const { client, waits, requests } = fake([refused, new TypeError("fetch failed"), json(DOCUMENT)]);
  await client.ocr(PDF);
  assert(waits[0] >= 7 && waits[0] <= 8 && waits[1] >= 0 && waits[1] <= 1, String(waits));
  assert.equal(await requests[2].body.get("file").text(), "%PDF");
});

test("waits grow and end", async () => {
  const answers = Array.from({ length: 4 }, () => problem(503, "server_overloaded"));
  const { client, waits } = fake(answers, { retry: { attempts: 4, initialS: 1, longestS: 3 } });
  await assert.rejects(client.ocr(PDF), lector.Unavailable);
  assert.equal(waits.length, 3);
  [1, 2, 3].forEach((most, index) => assert(waits[index] <= most));
});

test("what a repetition cannot help is an error at once", async () => {
  const answers = [
    problem(429, "quota_exceeded", { "retry-after": "40000" }),
    problem(504, "deadline_exceeded"),
    problem(422, "pdf_invalid"),
    problem(500, "internal"),
  ];
  for (const answer of answers) {
    const { client, requests } = fake([answer]);
    await assert.rejects(client.ocr(PDF), lector.ProblemError);
    assert.equal(requests.length, 1);
  }
});

test("problems are typed and have their code", async () => {
  const kinds = {
    400: lector.RequestInvalid,
    401: lector.AuthenticationFailed,
    403: lector.PermissionDenied,
    404: lector.NotFound,
    409: lector.Conflict,
    413: lector.TooLarge,
    422: lector.DocumentUnreadable,
    429: lector.RateLimited,
    500: lector.ServerFailed,
    503: lector.Unavailable,
    504: lector.DeadlineExceeded,
  };
  for (const [status, kind] of Object.entries(kinds)) {
    const { client } = fake([problem(Number(status), "some_code", { "retry-after": "3" })], { retry: lector.NO_RETRY });
    await assert.rejects(client.ocr(PDF), (error) => {
      assert(error instanceof kind, `${status}: ${error}`);
      assert.equal(error.name, kind.name);
      const { code, requestId, retryAfterS, blame } = error;
      assert.deepEqual({ code, requestId, retryAfterS, blame }, { code: "some_code", requestId: "r1", retryAfterS: 3, blame: "client" });
      return true;
    });
  }
});

test("an answer of something else is not hidden", async () => {
  const { client } = fake([new Response("<html>", { status: 502 }), new Response("<html>"), json({})], {
    retry: lector.NO_RETRY,
  });
  await assert.rejects(client.ocr(PDF), (error) => error.code === "http_502");
  await assert.rejects(client.ocr(PDF), lector.ResponseInvalid);
  await assert.rejects(client.ocr(PDF), lector.ResponseInvalid);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.UTC(2026, 0, 1);
  assert.equal(retryAfter("12"), 12);
  assert.equal(retryAfter("Thu, 01 Jan 2026 00:01:00 GMT", now), 60);
  assert.equal(retryAfter("Wed, 31 Dec 2025 00:01:00 GMT", now), 0);
  assert.equal(retryAfter("soon"), undefined);
});

test("jobs are submitted once and waited for", async () => {
  const { client, requests } = fake([
    new TypeError("fetch failed"),
    json(JOB, 202),
    json({ ...JOB, state: "running" }),
    json({ ...JOB, state: "succeeded" }),
    json({ ...JOB, state: "failed", error: { code: "document_empty", message: "it is empty" } }),
    json({ ...JOB, state: "running" }),
  ]);
  const job = await client.jobs.submit([PDF, PDF], { formats: ["markdown", "hocr"], priority: 3 });
  const [first, second] = requests;
  assert(first.headers.get("idempotency-key"));
  assert.equal(first.headers.get("idempotency-key"), second.headers.get("idempotency-key"));
  assert.equal(second.url.search, "?formats=markdown%2Chocr&priority=3");
  assert.equal((await client.jobs.wait(job.id)).state, "succeeded");
  assert.equal(requests[3].headers.get("prefer"), "wait=50");
  await assert.rejects(client.jobs.wait(job.id), (error) => error instanceof lector.JobFailed && error.code === "document_empty");
  await assert.rejects(client.jobs.wait(job.id, { timeoutS: 0 }), lector.WaitTimeout);
});

test("watching resumes after the last event", async () => {
  const { client, requests } = fake([
    broken(sseText({ event: "queued", seq: 1 }, { event: "running", seq: 2 })),
    new TypeError("fetch failed"),
    sse({ event: "running", seq: 2 }, { event: "page", seq: 3, document: 0, page: 1 }),
    sse({ event: "end", seq: 4, state: "succeeded" }),
  ]);
  const events = await all(client.jobs.watch("job_1"));
  assert.deepEqual(events.map((event) => event.seq), [1, 2, 3, 4]);
  assert.deepEqual(requests.map((request) => request.headers.get("last-event-id")), [null, "2", "2", "3"]);
});

test("watching a server that never ends the stream ends", async () => {
  const answers = [1, 2, 3].map(() => sse({ event: "queued", seq: 1 }));
  const { client } = fake(answers, { retry: { attempts: 3 } });
  await assert.rejects(all(client.jobs.watch("job_1")), /after: 1/);
  assert.equal(answers.length, 0);
});

test("lists are read page by page", async () => {
  const { client, requests } = fake([
    json({ jobs: [JOB], next: "c1" }),
    json({ jobs: [JOB], next: null }),
    json({ deployments: [{ name: "standard" }] }),
  ]);
  assert.equal((await all(client.jobs.list({ state: "queued" }))).length, 2);
  assert.equal(requests[1].url.search, "?state=queued&cursor=c1");
  assert.deepEqual((await all(client.deployments.list())).map((one) => one.name), ["standard"]);
});

test("results, pages and cancellation", async () => {
  const { client, requests } = fake([json(DOCUMENT), new Response("text"), json(PAGE), json({ outcome: "canceled" })]);
  assert.equal((await client.jobs.result("job_1", { document: 1 })).page_count, 1);
  assert.equal(await (await client.jobs.export("job_1", "text")).text(), "text");
  assert.equal((await client.jobs.page("job_1", 1, { document: 0 })).page, 1);
  assert.equal((await client.jobs.cancel("job/1")).outcome, "canceled");
  assert.equal(requests[0].url.search, "?format=json&document=1");
  assert.equal(requests[3].url.pathname, "/api/v1/jobs/job%2F1");
});

test("a call can be aborted, also while it waits", async () => {
  const refused = problem(503, "server_overloaded", { "retry-after": "60" });
  const fetch = async () => refused;
  const client = new lector.Client("http://lector", { fetch });
  const abort = new AbortController();
  const reading = client.ocr(PDF, { signal: abort.signal });
  setTimeout(() => abort.abort(), 10);
  await assert.rejects(reading, (error) => error.name === "AbortError");
});
