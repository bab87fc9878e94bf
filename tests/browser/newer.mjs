// What is newer than the browsers that the page supports, by MDN's data: `node newer.mjs` prints a
// script that deletes all such functions and classes; `node newer.mjs FILE …` names syntax and
// styles in these files.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parse } from "acorn";

const { api, css, javascript } = createRequire(import.meta.url)("@mdn/browser-compat-data");
const OLDEST = { chrome: 90, firefox: 90, safari: 15 };
/** Without them the page looks a little different. */
const COSMETIC = [":focus-visible", "-webkit-tap-highlight-color", "-webkit-touch-callout", "accent-color", "color-scheme",
  "outline", "overflow-wrap: anywhere", "user-select"];

/** Units, functions and nesting of styles. */
const LATER = new RegExp([
  /\d(?:[dsl]v(?:h|w|min|max|b|i)|cq[a-z]+|cap|ic|r?lh)\b/,
  /\b(?:light-dark|color|color-mix|(?:ok)?(?:lch|lab)|hwb|linear|image-set|if|attr)\(/,
  /\b(?:round|mod|rem|a?sin|a?cos|a?tan2?|pow|sqrt|hypot|log|exp|abs|sign)\(|&/,
].map(({ source }) => source).join("|"), "g");

const isOld = (added, limit) => added === true || parseFloat(String(added).replace("≤", "")) <= limit;

/** Whether one of the oldest browsers has not got it, as far as it is known. */
function isNewer(compat) {
  return compat && Object.entries(OLDEST).some(([browser, limit]) =>
    ![compat.support[browser]].flat().some(({ version_added, version_removed, flags, prefix, alternative_name } = {}) =>
      isOld(version_added, limit) && !version_removed && !flags && !prefix && !alternative_name));
}

const parts = (of) => Object.entries(of).filter(([name]) => name !== "__compat");

/** Globals and their parts: names, and whether `own` or of the `prototype`. */
function newer() {
  const paths = [];
  for (const [name, owner] of [...parts(api), ...parts(javascript.builtins)]) {
    if (isNewer(owner.__compat)) paths.push([name]);
    for (const [part, { __compat }] of parts(owner)) {
      // `Response.json` and `Response.prototype.json`: the data of the language does not say which.
      const where = part.endsWith("_static") ? ["own"] : name in api ? ["prototype"] : ["own", "prototype"];
      if (isNewer(__compat)) paths.push([name, part.replace("_static", ""), ...where]);
    }
  }
  return paths;
}

function syntax(file, text) {
  const faults = [];
  // Class fields and private methods are of 2022, and in the oldest browsers.
  const tree = parse(text, { ecmaVersion: 2022, sourceType: "module", allowAwaitOutsideFunction: false });
  const visit = (node) => {
    if (!node || typeof node !== "object") return;
    if (node.type === "StaticBlock") faults.push("a static block");
    if (node.type === "BinaryExpression" && node.left.type === "PrivateIdentifier") faults.push(`#${node.left.name} in`);
    if (node.regex && (/[dv]/.test(node.regex.flags) || /\(\?<[=!]/.test(node.regex.pattern))) faults.push(node.raw);
    Object.values(node).forEach(visit);
  };
  visit(tree);
  return faults;
}

function styles(file, text) {
  const faults = [];
  const plain = text.replace(/\/\*[^]*?\*\//g, "").replace(/"[^"]*"/g, '""');
  const isCosmetic = (what) => COSMETIC.includes(what) || COSMETIC.includes(what.split(": ")[0]);
  const check = (what, compat) => isNewer(compat) && !isCosmetic(what) && faults.push(what);
  for (const [, rule, , condition] of plain.matchAll(/@([a-z-]+)(\s+([^{;]*))?/g)) {
    check(`@${rule}`, css["at-rules"][rule]?.__compat);
    if (/[<>]/.test(condition ?? "")) faults.push(`@${rule} ${condition}`);
  }
  for (const [, name] of plain.matchAll(/:([a-z-]+)(?=[^;{}]*\{)/g)) check(`:${name}`, css.selectors[name]?.__compat);
  for (const [, property, value] of plain.matchAll(/(?<=[{;]\s*)([a-z-]+)\s*:\s*([^;{}]*)/g)) {
    check(property, css.properties[property]?.__compat);
    for (const [word] of value.matchAll(/[a-z-]+/g)) check(`${property}: ${word}`, css.properties[property]?.[word]?.__compat);
  }
  return [...faults, ...[...plain.matchAll(LATER)].map(([what]) => what)];
}

const files = process.argv.slice(2);
if (files.length === 0) {
  console.log(`for (const [name, part, ...where] of ${JSON.stringify(newer())}) try {
    const own = name === "TypedArray" ? Object.getPrototypeOf(Uint8Array) : window[name];
    const owners = { own, prototype: name === "Window" ? window : own?.prototype };
    if (!part) delete window[name];
    for (const from of where) delete owners[from]?.[part];
  } catch {}`);
}
for (const file of files) {
  const text = readFileSync(file, "utf8");
  const faults = file.endsWith(".css") ? styles(file, text) : syntax(file, text);
  for (const fault of faults) console.log(`${file}: ${fault}`);
}
