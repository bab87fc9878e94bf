// @ts-check
/**
 * The client libraries that a page needs: `io` and `Cookies`, as globals. The lobby serves them from
 * node_modules (`npm ci`), or leads to a CDN, which is not trusted: what has another hash does not run.
 * The versions are in package.json; a new version needs a new hash here:
 * `openssl dgst -sha384 -binary FILE | base64`.
 */

/** By the names of the globals. */
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

const HERE = import.meta.url;

/** @typedef {keyof typeof LIBRARIES} Library */

/** What neither the options nor the page have. @param {import("./types.d.ts").Options} options */
export function missingLibraries({ io, storage }) {
  const needed = /** @type {Library[]} */ ([!io && "io", !storage && "Cookies"].filter(Boolean));
  return needed.filter((name) => !(name in globalThis));
}

/** Loads them into the page; rejects if one cannot be had. @param {Library[]} names */
export const loadLibraries = (names) => Promise.all(names.map(load));

/** @param {Library} name */
async function load(name) {
  const { file, integrity } = LIBRARIES[name];
  const src = new URL(`libraries/${file}`, HERE).href;
  const script = Object.assign(document.createElement("script"), { src, integrity, crossOrigin: "anonymous" });
  await new Promise((resolve, reject) => {
    [script.onload, script.onerror] = [resolve, reject];
    document.head.append(script);
  });
}
