// Files on the disk, for Node.

import { createWriteStream, openAsBlob } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeStream } from "node:stream/web";

import type { Export } from "./client.js";

/** Opens a document on the disk. Its bytes are read when they are sent. */
export async function file(path: string): Promise<{ name: string; data: Blob }> {
  return { name: basename(path), data: await openAsBlob(path) };
}

/** Writes an export to a file, which appears when it is complete. Returns the number of pages that failed. */
export async function save(output: Export, path: string): Promise<number> {
  const temporary = join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}`);
  try {
    await pipeline(Readable.fromWeb(output.stream as NodeStream<Uint8Array>), createWriteStream(temporary));
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return output.pagesFailed;
}
