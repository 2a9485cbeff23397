// Azure's REST client for TypeScript: base64, polling, the PDF, bytes and Markdown, errors.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import connect, {
  getLongRunningPoller,
  isUnexpected,
  parseResultIdFromResponse,
  streamToUint8Array,
} from "@azure-rest/ai-document-intelligence";

const [server, pdf, png] = process.argv.slice(2);
const client = connect(server, { key: "any" }, { allowInsecureConnection: true });

const analyze = (model, request) => client.path("/documentModels/{modelId}:analyze", model).post(request);
const finished = async (started) => {
  assert(!isUnexpected(started), JSON.stringify(started.body));
  const { body } = await getLongRunningPoller(client, started).pollUntilDone();
  assert.equal(body.status, "succeeded", JSON.stringify(body));
  return body.analyzeResult;
};

const started = await analyze("prebuilt-read", {
  contentType: "application/json",
  body: { base64Source: await readFile(pdf, { encoding: "base64" }) },
  queryParameters: { output: ["pdf"], stringIndexType: "utf16CodeUnit" },
});
const result = await finished(started);
assert(result.content.trim());
for (const page of result.pages) {
  assert.equal(page.unit, "inch");
  for (const { content, spans } of page.lines) {
    assert.equal(result.content.slice(spans[0].offset, spans[0].offset + spans[0].length), content);
  }
}

const id = parseResultIdFromResponse(started);
const path = "/documentModels/{modelId}/analyzeResults/{resultId}/pdf";
const answer = await client.path(path, "prebuilt-read", id).get().asNodeStream();
assert.equal(answer.status, "200");
const made = Buffer.from(await streamToUint8Array(answer.body));
assert.equal(made.subarray(0, 5).toString(), "%PDF-");

const layout = await finished(
  await analyze("prebuilt-layout", {
    contentType: "application/octet-stream",
    body: await readFile(png),
    queryParameters: { outputContentFormat: "markdown" },
  }),
);
assert(layout.content.trim() && layout.pages[0].unit === "pixel", JSON.stringify(layout));

const refused = await analyze("prebuilt-invoice", { contentType: "application/json", body: { base64Source: "AA==" } });
assert(isUnexpected(refused) && refused.status === "404" && refused.body.error.message, refused.status);
console.log(`${result.pages.length} pages, ${result.content.length} characters, a PDF of ${made.length} bytes`);
