// @ts-check
/**
 * Structure, as `cluster.js`: the player's token. The page has it in memory, and a storage keeps it for the
 * next visit. A storage may be full, blocked or silent: whatever it does, the player stays the same player
 * until the page is closed.
 */

/** @import { Cookies, TokenStorage } from "./types.d.ts" */

/** A storage that takes longer, in ms, is not waited for. */
const TIMEOUT = 3000;

/** The token in memory, in front of a storage. Nothing here throws or rejects; the console is told instead. */
export class TokenCache {
  /** @type {string | undefined} */ #token;
  /** Whether the storage works. One that has not taken the last change may have an old token: it is not read. */ #stored = true;
  #storage;

  /** @param {TokenStorage} storage */
  constructor(storage) {
    this.#storage = storage;
  }

  /** The storage's token, for another tab may have a newer one; or this page's. */
  async get() {
    const before = this.#token;
    const token = this.#stored ? await this.#ask("get") : undefined;
    // Meanwhile the player may have registered, or logged out.
    if (this.#token !== before || !this.#stored) return this.#token;
    this.#stored = token !== undefined || !before;
    return (this.#token = token || before);
  }

  /** @param {string} token */
  async set(token) {
    await this.#change("set", token);
  }

  async remove() {
    await this.#change("remove");
  }

  /** Forgets it in this page alone: the storage may have another tab's already. */
  drop() {
    this.#token = undefined;
  }

  /** @param {"set" | "remove"} what @param {string} [token] */
  async #change(what, token) {
    this.#token = token;
    this.#stored = false;
    if ((await this.#ask(what, token)) === undefined) return;
    // Blocked cookies do not throw: they are just not there afterwards.
    this.#stored = (await this.#ask("get")) === (this.#token ?? "");
  }

  /**
   * Calls the storage, before this returns, and resolves to what it answers: the token, "" for none, or
   * `undefined` if the storage has failed.
   * @param {keyof TokenStorage} what @param {string} [token] @returns {Promise<string | undefined>}
   */
  async #ask(what, token = "") {
    const answer = (async () => this.#storage[what](token))();
    answer.catch(console.error);
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(reject, TIMEOUT)));
    late.catch(() => console.error(new Error(`The token's storage does not answer: ${what}.`)));
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

/**
 * The token in a cookie, for a year. Cookies are shared by all ports of a host, hence the port in the
 * name; `?as=2` in the address makes a second player in the same browser.
 * @param {Cookies} [jar]  js-cookie; default: the global one @returns {TokenStorage}
 */
export function cookieStorage(jar) {
  const as = new URLSearchParams(location.search).get("as") ?? "";
  const name = ["token", location.port, as].filter(Boolean).join("-");
  const secure = location.protocol === "https:";
  const globals = /** @type {{ Cookies: Cookies }} */ (/** @type {unknown} */ (globalThis));
  // Looked for at each use: the page may load it later.
  const there = () => jar ?? globals.Cookies;
  return {
    get: () => there().get(name),
    set: (token) => there().set(name, token, { expires: 365, sameSite: "strict", secure }),
    remove: () => there().remove(name),
  };
}

/**
 * The token in `localStorage`, or in `sessionStorage`: for frames of other sites, which get no cookies.
 * @param {Storage} [store] @returns {TokenStorage}
 */
export function webStorage(store) {
  // Looked for at each use: where it is blocked, that alone throws.
  const there = () => store ?? localStorage;
  return {
    get: () => there().getItem("token") ?? undefined,
    set: (token) => there().setItem("token", token),
    remove: () => there().removeItem("token"),
  };
}
