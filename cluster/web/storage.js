// @ts-check
/**
 * Structure: the player's token. The page has it in memory, and a storage keeps it for the next
 * visit. If the storage fails, the player keeps their identity until the page is closed.
 */

/** @import { Cookies, TokenStorage } from "./types.d.ts" */

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

/**
 * The token in a cookie, for a year. All ports of a host share cookies, so the name has the port.
 * `?as=2` in the address makes a second player in the same browser.
 * @param {Cookies} [jar]  js-cookie; default: the global one @returns {TokenStorage}
 */
export function cookieStorage(jar) {
  const as = new URLSearchParams(location.search).get("as") ?? "";
  const name = ["token", location.port, as].filter(Boolean).join("-");
  const secure = location.protocol === "https:";
  const globals = /** @type {{ Cookies: Cookies }} */ (/** @type {unknown} */ (globalThis));
  // Looked up at each use: the page may load it later.
  const there = () => jar ?? globals.Cookies;
  return {
    get: () => there().get(name),
    set: (token) => there().set(name, token, { expires: 365, sameSite: "strict", secure }),
    remove: () => there().remove(name),
  };
}

/**
 * The token in `localStorage` or `sessionStorage`: for frames of other sites, which get no cookies.
 * @param {Storage} [store] @returns {TokenStorage}
 */
export function webStorage(store) {
  // Looked up at each use: where it is blocked, reading the global throws.
  const there = () => store ?? localStorage;
  return {
    get: () => there().getItem("token") ?? undefined,
    set: (token) => there().setItem("token", token),
    remove: () => there().removeItem("token"),
  };
}
