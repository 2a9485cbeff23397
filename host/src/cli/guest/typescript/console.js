// Gives JavaScript a console, whose lines become log events of the host. Part of every component in TypeScript.
import * as log from "lector:ocr/log@0.2.0";

const LEVELS = { debug: "debug", log: "info", info: "info", warn: "warn", error: "error" };
// While modules are loaded there is no host: the tool loads them during the build.
let running = false;

export function start() {
  running = true;
}

/** Writes places in modules as the author knows them, relative to the project. */
export function shortened(stack) {
  return stack.replaceAll("/target/typescript/", "").trimEnd();
}

function text(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value}\n${shortened(value.stack ?? "")}`;
  try {
    return JSON.stringify(value, (_, one) => (typeof one === "bigint" ? one.toString() : one)) ?? String(value);
  } catch {
    return String(value);
  }
}

globalThis.console = Object.fromEntries(
  Object.entries(LEVELS).map(([name, level]) => [
    name,
    (...values) => {
      if (running) log.write(level, values.map(text).join(" "));
    },
  ]),
);
