/**
 * Reads invoices: wraps another deployment, and finds number, date, total and IBAN in the lines that it reads.
 *
 * `lector guest build` writes the types of the contract to `target/bindings`, for your editor. Every page has an instance of its
 * own: nothing carries over in variables of a module.
 */

import type { Point, Quad } from "lector:types/geometry@0.2.0";
import type { Line } from "lector:ocr/model@0.2.0";
import * as inner from "lector:ocr/pipeline@0.2.0";
import * as settings from "lector:ocr/settings@0.2.0";

import { values } from "./values.ts";

/** The exports of the world `wrapper`: the functions that the wrapped pipeline has, too. Calls wait for their result. */
export const pipeline: typeof inner = {
  configure(text) {
    options(text);
    const info = inner.configure("{}");
    return { models: [], batching: [], features: [...info.features, "findings"] };
  },

  recognize(page, request) {
    const chosen = options(settings.get());
    const transcript = inner.recognize(page.share(), request);
    const fields: Record<string, string> = {};
    for (const [index, line] of transcript.lines.entries()) {
      for (const { kind, start, end, value } of values(line.text)) {
        if (kind in fields || !chosen.includes(kind)) continue;
        fields[kind] = value;
        const text = line.text.slice(start, end);
        const quad = part(line, start, end);
        transcript.findings.push({ kind, text, value, confidence: line.confidence, lines: [index], quad });
      }
    }
    const sorted = Object.fromEntries(Object.entries(fields).sort());
    transcript.properties = JSON.stringify({ invoice: sorted });
    return transcript;
  },

  assemble: (pages) => inner.assemble(pages),
};

const FIELDS = ["number", "date", "total", "iban"];

/** Checks the settings: `fields`, the ones to find (default: all). */
function options(text: string): string[] {
  const given: Record<string, unknown> = JSON.parse(text);
  const unknown = Object.keys(given).find((name) => name !== "fields");
  if (unknown !== undefined) {
    throw { pointer: `/${unknown}`, message: "is no setting; the settings are: fields" };
  }
  const fields = given.fields ?? FIELDS;
  if (!Array.isArray(fields) || fields.some((field) => !FIELDS.includes(field))) {
    throw { pointer: "/fields", message: `must be a list of ${FIELDS.join(", ")}` };
  }
  return fields;
}

/** Returns the quad of some characters, as if all characters of the line had one width. */
function part(line: Line, start: number, end: number): Quad {
  const length = Math.max(line.text.length, 1);
  const along = (a: Point, b: Point, at: number): Point => ({
    x: a.x + ((b.x - a.x) * at) / length,
    y: a.y + ((b.y - a.y) * at) / length,
  });
  const { topLeft, topRight, bottomRight, bottomLeft } = line.quad;
  return {
    topLeft: along(topLeft, topRight, start),
    topRight: along(topLeft, topRight, end),
    bottomRight: along(bottomLeft, bottomRight, end),
    bottomLeft: along(bottomLeft, bottomRight, start),
  };
}
