// The library of deploy/clients/typescript: one document, pages as they are read, a batch, formats, jobs, errors.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as lector from "lector-client";
import { file, save } from "lector-client/node";

const [server, pdfPath, pngPath] = process.argv.slice(2);
const client = new lector.Client(server);
const [pdf, png] = [await file(pdfPath), await file(pngPath)];
const broken = new TextEncoder().encode("not a document");
const texts = (pages) => Object.fromEntries(pages.map((page) => [page.page, page.text]));
const all = async (iterable) => {
  const found = [];
  for await (const item of iterable) found.push(item);
  return found;
};

assert((await all(client.deployments.list())).some((deployment) => deployment.name === "standard"));
assert.equal((await client.deployments.get("standard")).revisions[0].state, "live");

const document = await client.ocr(pdf, { words: true });
assert.equal(document.name, basename(pdfPath));
assert(document.page_count === document.pages.length && document.page_count > 1);
const line = document.pages.flatMap((page) => page.lines)[0];
assert(line.text && line.words.length > 0 && line.quad.length === 4);
assert.deepEqual(texts(await all(client.pages(pdf))), texts(document.pages));
assert.deepEqual((await all(client.pages(pdf, { pages: "2", order: "page" }))).map((page) => page.page), [2]);
// Leaving the loop ends the request.
for await (const page of client.pages(pdf)) {
  assert(page.page >= 1);
  break;
}

const events = await all(client.batch([pdf, png, broken]));
assert.equal(events[0].event, "meta");
const { documents_ok, documents_failed } = events.at(-1);
assert.deepEqual([documents_ok, documents_failed], [2, 1]);

assert((await client.text(png)).trim() && (await client.markdown(png)).trim());
const folder = await mkdtemp(join(tmpdir(), "lector-client-"));
assert.equal(await save(await client.export(png, "pdf"), join(folder, "line.pdf")), 0);
assert((await readFile(join(folder, "line.pdf"))).subarray(0, 4).equals(Buffer.from("%PDF")));

await assert.rejects(client.ocr(png, { dpi: 1 }), lector.RequestInvalid);
await assert.rejects(client.ocr(png, { deployment: "none" }), (error) => error instanceof lector.NotFound && Boolean(error.requestId));
await assert.rejects(client.ocr(pdf, { pages: "99" }), lector.DocumentUnreadable);
await assert.rejects(all(client.pages(broken)), lector.DocumentFailed);
const nowhere = new lector.Client("http://127.0.0.1:9", { retry: lector.NO_RETRY });
await assert.rejects(nowhere.ocr(png), lector.ConnectionFailed);

const options = { formats: ["json", "markdown"], idempotency_key: "lector_node" };
const submitted = await client.jobs.submit([pdf, png], options);
assert.equal((await client.jobs.submit([pdf, png], options)).id, submitted.id);
const seen = await all(client.jobs.watch(submitted.id));
assert.deepEqual(seen.map((event) => event.seq), seen.map((_, index) => index + 1));
assert.equal(seen.at(-1).state, "succeeded");
assert.deepEqual(await all(client.jobs.watch(submitted.id, { after: 3 })), seen.slice(3));
const job = await client.jobs.wait(submitted.id, { timeoutS: 60 });
assert.equal(job.pages.ok, document.page_count + 1);
assert.deepEqual(texts((await client.jobs.result(job.id, { document: 0 })).pages), texts(document.pages));
assert((await (await client.jobs.export(job.id, "markdown", { document: 1 })).text()).trim());
assert.equal((await client.jobs.page(job.id, 2, { document: 0 })).text, texts(document.pages)[2]);
assert((await all(client.jobs.list({ state: "succeeded" }))).some((one) => one.id === job.id));
assert.equal((await client.jobs.cancel(job.id)).outcome, "forgotten");
await assert.rejects(client.jobs.get(job.id), (error) => error instanceof lector.NotFound && error.code === "job_not_found");
const bad = await client.jobs.submit([broken]);
await assert.rejects(client.jobs.wait(bad.id), lector.JobFailed);

// The example of the README, as a reader pastes it.
const here = dirname(fileURLToPath(import.meta.url));
const readme = await readFile(join(await realpath(join(here, "node_modules/lector-client")), "README.md"), "utf8");
const [example] = readme.split("```js\n")[1].split("```");
await copyFile(pdfPath, join(folder, "scan.pdf"));
await symlink(join(here, "node_modules"), join(folder, "node_modules"));
await writeFile(join(folder, "example.mjs"), example.replace("http://127.0.0.1:8080", server));
const { stdout } = await promisify(execFile)(process.execPath, ["example.mjs"], { cwd: folder });
assert(stdout.endsWith("(deployment_not_found)\n"), stdout);
assert((await readFile(join(folder, "scan.md"), "utf8")).trim() && (await readFile(join(folder, "searchable.pdf"))).length > 0);
await rm(folder, { recursive: true });
console.log(`${document.page_count} pages: ${JSON.stringify(document.pages[0].text.slice(0, 40))}`);
