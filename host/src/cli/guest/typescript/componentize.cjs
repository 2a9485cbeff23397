// Run by `lector guest build` with Node.js: takes the types out of the author's modules, and makes a component of them.
// Arguments: the folder of the project, the entry, the contract, the component to write.
const [project, entry, contract, component] = process.argv.slice(-4);
const NODE_MAJOR_MIN = 18;
if (Number(process.versions.node.split(".")[0]) < NODE_MAJOR_MIN) {
  fail(`Node.js ${process.versions.node} is too old: install Node.js ${NODE_MAJOR_MIN} or later`);
}

const fs = require("node:fs");
const path = require("node:path");
const { transformSync } = require("@swc/wasm-typescript");
const { componentize } = require("@andreiltd/componentize-qjs-binding-linux-x64-gnu");

const staged = path.join(project, "target/typescript");

function fail(message) {
  console.error(message);
  process.exit(1);
}

/** Copies modules. Types become spaces, so that lines and columns of errors are those of the author. */
function stage(from, to) {
  fs.mkdirSync(to, { recursive: true });
  for (const one of fs.readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [path.join(from, one.name), path.join(to, one.name)];
    if (one.isDirectory()) stage(source, target);
    else if (/\.m?ts$/.test(one.name) && !/\.d\.m?ts$/.test(one.name)) fs.writeFileSync(target, stripped(source));
    else if (/\.m?js$/.test(one.name)) fs.copyFileSync(source, target);
  }
}

function stripped(source) {
  const filename = path.relative(project, source);
  try {
    return transformSync(fs.readFileSync(source, "utf8"), { mode: "strip-only", module: true, filename }).code;
  } catch (error) {
    const place = error.startLine === undefined ? filename : `${filename}:${error.startLine}:${error.startColumn + 1}`;
    fail(`${place}: ${error.message ?? error}\n${error.snippet ?? ""}`.trimEnd());
  }
}

stage(path.join(project, "src"), path.join(staged, "src"));
const main = path.join(staged, "main.js");
const options = {
  witPath: contract,
  world: "wrapper",
  jsSource: fs.readFileSync(main, "utf8"),
  jsPath: main,
  moduleRoot: project,
  // Without the async ABI of the contract: the types of the component are changed afterwards.
  sync: true,
};
componentize(options).then(
  (result) => fs.writeFileSync(component, result.component),
  (error) => fail(`${entry} cannot be loaded: ${explained(String(error.message ?? error))}`),
);

/** Returns what is wrong and where, without the steps of the tool that lead to it. */
function explained(message) {
  const called = message.match(/unknown import: `(.*)#(.*)` has not been defined/);
  if (called) {
    return `it calls \`${called[2]}\` of ${called[1]} while modules are loaded, during the build; call it from the pipeline`;
  }
  const shown = message.replaceAll(`${staged}/`, "").replaceAll("/target/typescript/", "");
  const cause = shown.replace(/^.*(?:JavaScript module(?: evaluation)?|: ): /s, "").trimEnd();
  return /module 'lector:/.test(cause) ? `${cause}; types are imported by \`import type\`` : cause;
}
