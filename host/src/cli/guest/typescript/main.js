// The entry of a component in TypeScript: calls the author's pipeline, and makes errors of exceptions, which name the line.
import { shortened, start } from "./console.js";
import * as app from "./src/ENTRY";

const given = app.pipeline;
for (const name of ["configure", "recognize", "assemble"]) {
  if (typeof given?.[name] !== "function") throw new TypeError(`src/ENTRY must export \`pipeline\` with a function \`${name}\``);
}

function called(name, error) {
  return (...values) => {
    start();
    try {
      const result = given[name](...values);
      if (result instanceof Promise) {
        throw new TypeError(`\`${name}\` returns a promise; calls of the contract wait, so write it without \`async\``);
      }
      if (typeof result !== "object" || result === null) {
        throw new TypeError(`\`${name}\` returned ${result}; the contract says what it returns`);
      }
      return result;
    } catch (thrown) {
      // An error of the author is a record; one of a call that the author did not catch has the record in it.
      const record = thrown?.payload ?? thrown;
      if (!(record instanceof Error) && typeof record?.message === "string") throw record;
      console.error(thrown);
      const text = thrown instanceof Error ? String(thrown) : `thrown: ${JSON.stringify(thrown)}`;
      const place = shortened(thrown?.stack ?? "").split("\n").find((line) => line.includes("(src/"));
      throw error(place ? `${text} ${place.trim()}` : text);
    }
  };
}

const failed = (message) => ({ kind: "failed", code: "exception", message, retryAfterMs: null });

export const pipeline = {
  configure: called("configure", (message) => ({ pointer: "", message })),
  recognize: called("recognize", failed),
  assemble: called("assemble", failed),
};
