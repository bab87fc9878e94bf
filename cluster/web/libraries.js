// @ts-check
/**
 * The client libraries that a page needs: `io` and `Cookies`, as globals. The lobby serves them from
 * node_modules (`npm ci`), or redirects to a CDN, whose files are checked against the hashes below.
 * The versions are in package.json; a new version needs a new hash here:
 * `openssl dgst -sha384 -binary FILE | base64`.
 */

/** By global name. */
const LIBRARIES = {
  io: {
    file: "socket.io.min.js",
    integrity: "sha384-kzavj5fiMwLKzzD1f8S7TeoVIEi7uKHvbTA3ueZkrzYq75pNQUiUi6Dy98Q3fxb0",
  },
  Cookies: {
    file: "js.cookie.min.js",
    integrity: "sha384-/vxhYfM1LENRhdpZ8dwEsQn/X4VhpbEZSiU4m/FwR+PVpzar4fkEOw8FP9Y+OfQN",
  },
};

/** @typedef {keyof typeof LIBRARIES} Library */

/** The libraries that neither the options nor the page provide. @param {import("./types.d.ts").Options} options */
export function missingLibraries({ io, storage }) {
  const needed = /** @type {Library[]} */ ([!io && "io", !storage && "Cookies"].filter(Boolean));
  return needed.filter((name) => !(name in globalThis));
}

/** Loads them into the page; rejects if one cannot be loaded. @param {Library[]} names */
export const loadLibraries = (names) => Promise.all(names.map(load));

/** @param {Library} name */
async function load(name) {
  const { file, integrity } = LIBRARIES[name];
  const src = new URL(`./libraries/${file}`, import.meta.url).href;
  const script = document.createElement("script");
  Object.assign(script, { src, integrity, crossOrigin: "anonymous" });
  await new Promise((resolve, reject) => {
    [script.onload, script.onerror] = [resolve, reject];
    document.head.append(script);
  });
}
