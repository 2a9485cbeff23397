// Mistral's SDK for TypeScript, which validates every answer: upload, signed URL, OCR with all that a page can have.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { Mistral } from "@mistralai/mistralai";

const [server, pdf, png] = process.argv.slice(2);
const client = new Mistral({ apiKey: "any", serverURL: server });

const models = await client.models.list();
assert(models.data.some((model) => model.id === "mistral-ocr-latest"), JSON.stringify(models));

const content = await readFile(pdf);
const file = await client.files.upload({ file: { fileName: basename(pdf), content }, purpose: "ocr" });
assert.equal((await client.files.retrieve({ fileId: file.id })).filename, basename(pdf));
assert((await client.files.list()).data.some((one) => one.id === file.id));
const { url } = await client.files.getSignedUrl({ fileId: file.id });

const read = (document, options) => client.ocr.process({ model: "mistral-ocr-latest", document, ...options });
const answer = await read(
  { type: "document_url", documentUrl: url },
  { includeBlocks: true, tableFormat: "html", extractHeader: true, confidenceScoresGranularity: "word" },
);
assert.equal(answer.usageInfo.pagesProcessed, answer.pages.length);
assert(answer.pages.some((page) => page.markdown.trim()), JSON.stringify(answer));
assert(answer.pages.some((page) => page.blocks?.length > 0), "no page has blocks");
assert(answer.pages.every((page) => page.confidenceScores), "a page has no confidence scores");
const first = await read({ type: "file", fileId: file.id }, { pages: "0" });
assert.deepEqual(first.pages.map((page) => page.index), [0]);
const picture = `data:image/png;base64,${(await readFile(png)).toString("base64")}`;
assert((await read({ type: "image_url", imageUrl: picture })).pages[0].markdown.trim());
assert((await client.files.delete({ fileId: file.id })).deleted);
await assert.rejects(read({ type: "document_url", documentUrl: "https://example.org/a.pdf" }), /URL/);
console.log(`${answer.pages.length} pages: ${JSON.stringify(answer.pages[0].markdown.slice(0, 40))}`);
