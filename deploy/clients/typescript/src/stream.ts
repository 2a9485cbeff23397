// Streams of events: lines, NDJSON, and server-sent events.

import { ConnectionFailed, ResponseInvalid } from "./errors.js";

// An event is one page. This is far above any page, and bounds the memory that a broken server can use.
const EVENT_CHARACTERS_MAX = 64 << 20;

/** Yields the lines of a response. Only a line feed ends one: other separators of Unicode occur in JSON. */
export async function* lines(response: Response): AsyncGenerator<string, void, undefined> {
  if (!response.body) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let held = 0;
  try {
    while (true) {
      const { done, value } = await read(reader);
      if (done) return;
      const pieces = decoder.decode(value, { stream: true }).split("\n");
      const rest = pieces.pop() ?? "";
      for (const piece of pieces) {
        parts.push(piece);
        const line = parts.join("");
        parts = [];
        held = 0;
        yield line.endsWith("\r") ? line.slice(0, -1) : line;
      }
      if (rest) {
        parts.push(rest);
        held += rest.length;
        if (held > EVENT_CHARACTERS_MAX) {
          throw new ResponseInvalid(`an event of the server is longer than ${EVENT_CHARACTERS_MAX} characters`);
        }
      }
    }
  } finally {
    // Ends the request when the caller leaves the loop early.
    await reader.cancel().catch(() => undefined);
  }
}

async function read(reader: ReadableStreamDefaultReader<Uint8Array>) {
  try {
    return await reader.read();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ConnectionFailed(`the stream of events broke: ${reasonOf(error)}`, { cause: error });
  }
}

/** Returns the JSON object of an event. */
export function eventOf(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ResponseInvalid("an event of the server is not JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null) {
    throw new ResponseInvalid("an event of the server is not an object");
  }
  return value as Record<string, unknown>;
}

/** Yields the data of server-sent events; their names and ids are also in the data. */
export async function* serverSentEvents(response: Response): AsyncGenerator<Record<string, unknown>, void, undefined> {
  let data: string[] = [];
  for await (const line of lines(response)) {
    if (line.startsWith("data:")) {
      data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
    } else if (line === "" && data.length > 0) {
      const event = eventOf(data.join("\n"));
      data = [];
      yield event;
    }
  }
}

/** Returns whether an error is that of an aborted signal. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}

/** Returns the reason of a failed fetch, which is often in the cause. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message ? error.cause.message : error.message;
}
