// @ts-check
/**
 * Structure: the player's token. The page has it in memory, and a storage keeps it for the next
 * visit. If the storage fails, the player keeps their identity until the page is closed.
 */

import { BASE } from "./connection.js";

/** @import { Cookies, TokenStorage, Welcome } from "./types.d.ts" */

/** The token's cookie or key, before the lobby's path; other programs on this host have other names. */
const NAME = "cluster-token";
/** Timeout in ms for a call of the storage. */
const TIMEOUT = 3000;

/** The token in memory, in front of a storage. Errors go to the console; nothing throws or rejects. */
export class TokenCache {
  /** @type {string | undefined} */ #token;
  /** False after a failed change: the storage may have an old token, and is not read. */ #stored = true;
  #storage;

  /** @param {TokenStorage} storage */
  constructor(storage) {
    this.#storage = storage;
  }

  /** The storage's token, since another tab may have a newer one; else this page's. */
  async get() {
    const before = this.#token;
    const token = this.#stored ? await this.#ask("get") : undefined;
    // The player may have registered or logged out meanwhile.
    if (this.#token !== before || !this.#stored) return this.#token;
    this.#stored = token !== undefined || !before;
    return (this.#token = token || before);
  }

  /** @param {string} token */
  async set(token) {
    await this.#change("set", token);
  }

  /**
   * After `welcome`, which may bring a new token or refuse this page's. One that stays is written
   * again: Safari and Brave delete a script's cookie after seven days. Another tab's newer token
   * wins.
   * @param {Welcome} welcome
   */
  async update({ token, refused }) {
    if (refused) return this.remove();
    const before = this.#token;
    if ((await this.get()) !== before) return;
    const next = token || (this.#stored && before);
    if (next) await this.set(next);
  }

  async remove() {
    await this.#change("remove");
  }

  /** Removes it from this page alone: the storage may have another tab's token. */
  drop() {
    this.#token = undefined;
  }

  /** @param {"set" | "remove"} what @param {string} [token] */
  async #change(what, token) {
    this.#token = token;
    this.#stored = false;
    if ((await this.#ask(what, token)) === undefined) return;
    // Setting a blocked cookie does not throw, so read it back.
    this.#stored = (await this.#ask("get")) === (this.#token ?? "");
  }

  /**
   * Calls the storage synchronously. Resolves to the token, to "" if there is none, or to
   * `undefined` if the storage failed.
   * @param {keyof TokenStorage} what @param {string} [token] @returns {Promise<string | undefined>}
   */
  async #ask(what, token = "") {
    const answer = (async () => this.#storage[what](token))();
    answer.catch(console.error);
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(reject, TIMEOUT)));
    late.catch(() => console.error(new Error(`The token's storage timed out: ${what}.`)));
    try {
      const text = await Promise.race([answer, late]);
      return typeof text === "string" ? text : "";
    } catch {
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** With `?as=2` in the address: a second player in the same browser, with a token of their own. */
const as = () => new URLSearchParams(globalThis.location?.search).get("as");

/**
 * The token in a cookie, for a year. All ports of a host share cookies, so the name has the port; and
 * the lobby's path, since the cookie of a lobby at `/` also comes to a page at `/game`. While the cookie
 * cannot be read back, `localStorage` has the token. It also has those of players with `?as=`: each
 * request carries all cookies, and sixty more would be too much for the lobby.
 * @param {Cookies} [jar]  js-cookie; default: the global one
 * @param {string} [base]  the lobby's path, such as `/game`; needed in a bundle
 * @returns {TokenStorage}
 */
export function cookieStorage(jar, base = BASE) {
  const local = webStorage(undefined, base);
  if (as()) return local;
  const secure = location.protocol === "https:";
  // No other host can set a cookie with the prefix `__Host-`, which allows no path but `/`.
  const prefix = !secure ? "" : base ? "__Secure-" : "__Host-";
  const name = [prefix + NAME + base, location.port].filter(Boolean).join("-");
  const attributes = { expires: 365, sameSite: "strict", secure, path: base || "/" };
  const globals = /** @type {{ Cookies: Cookies }} */ (/** @type {unknown} */ (globalThis));
  // Looked up at each use: the page may load it later.
  const there = () => jar ?? globals.Cookies;
  return {
    get: () => ifAllowed(local.get) ?? there().get(name),
    set(token) {
      there().set(name, token, attributes);
      if (there().get(name) === token) return ifAllowed(local.remove);
      console.warn(`The cookie ${name} cannot be read back: cookies are blocked, or another one of this `
        + "name hides it. The token is in localStorage instead.");
      local.set(token);
    },
    remove() {
      there().remove(name, attributes);
      ifAllowed(local.remove);
    },
  };
}

/**
 * The token in `localStorage` or `sessionStorage`: for frames of other sites, which get no cookies.
 * @param {Storage} [store] @param {string} [base]  as for a cookie @returns {TokenStorage}
 */
export function webStorage(store, base = BASE) {
  const key = [NAME + base, as()].filter(Boolean).join("-");
  // Looked up at each use: where it is blocked, reading the global throws.
  const there = () => store ?? localStorage;
  return {
    get: () => there().getItem(key) ?? undefined,
    set: (token) => there().setItem(key, token),
    remove: () => there().removeItem(key),
  };
}

/** Nothing where storage is blocked. @template Result @param {() => Result} call */
function ifAllowed(call) {
  try {
    return call();
  } catch {}
}
