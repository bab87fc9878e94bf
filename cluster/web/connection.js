// @ts-check
/**
 * Structure: the connections to the lobby and to a room, for requests and events. `cluster.js` gives
 * them a new socket at each connect; listeners stay.
 */

/** @import { Socket } from "socket.io-client" */
/** @import { Args, DataOf, Names, Reroute, Watcher } from "./types.d.ts" */

/**
 * The path below which the lobby serves everything, such as `/game`: it serves this file there. Empty at
 * the root, and in a bundle, which does not know it.
 */
export const BASE = /^https?:\/\/[^/]+(\/.*)?\/cluster\/connection\.js$/.exec(import.meta.url)?.[1] ?? "";

/**
 * Calls the page's code. Logs what it throws, also asynchronously, and continues.
 * @template Result @param {() => Result} call @returns {Result | undefined}
 */
export function safely(call) {
  try {
    const result = call();
    Promise.resolve(result).catch(console.error);
    return result;
  } catch (error) {
    console.error(error);
  }
}

/** Timeout in ms for the answer to a request. */
const ANSWER_TIMEOUT = 30_000;

/** The connection to the lobby. @template Requests @template Events */
export class Connection {
  /** @type {Socket | null} */ socket = null;
  /** @type {Map<string, Set<(data: any) => void>>} */ #listeners = new Map();
  /** Answers still to come. @type {Set<Promise<any>>} */ #pending = new Set();
  #watch;

  /** @param {"lobby" | "room"} name @param {Watcher} watch */
  constructor(name, watch) {
    this.name = name;
    this.#watch = watch;
  }

  /**
   * Sends a request and waits for the answer. Rejects with an Error that is a {@link Refusal}.
   * @template {Names<Requests>} Name @param {Name} event @param {Args<Requests, Name>} data
   * @returns {Promise<any>}
   */
  async request(event, ...data) {
    this.#watch(`asking: ${event}`, data[0]);
    const answer = this.#ask(event, data[0] === undefined ? {} : data[0]);
    this.#pending.add(answer);
    const { ok, error } = await answer;
    this.#pending.delete(answer);
    this.#watch(`answer: ${event}`, error ? { error } : { ok });
    if (error) throw Object.assign(new Error(error.message), { event, code: error.code });
    return ok;
  }

  /**
   * Sends a request and does not wait. A refusal goes to the hook `refused`.
   * @template {Names<Requests>} Name @param {Name} event @param {Args<Requests, Name>} data
   */
  send(event, ...data) {
    this.#watch(`to ${this.name}: ${event}`, data[0]);
    this.socket?.emit(event, data[0] === undefined ? {} : data[0]);
  }

  /**
   * Adds a listener, which stays across reroutes and reconnects. Returns a function that removes it.
   * @template {Names<Events>} Name @param {Name} event
   * @param {(data: DataOf<Events, Name>) => void} call
   */
  on(event, call) {
    const calls = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, calls.add(call));
    return () => void calls.delete(call);
  }

  /** For cluster.js: calls the listeners. @param {string} event @param {any} data */
  dispatch(event, data) {
    for (const call of [...this.#listeners.get(event) ?? []]) safely(() => call(data));
  }

  /** For cluster.js: closes the connection. It counts as lost, so a room may keep the seat. */
  close() {
    this.#detach()?.io.engine?.close();
  }

  /** For cluster.js: the same, after all pending answers have come. */
  async finish() {
    const socket = this.#detach();
    await Promise.all(this.#pending);
    socket?.io.engine?.close();
  }

  #detach() {
    const socket = this.socket;
    this.socket = null;
    return socket?.off().offAny();
  }

  /** @param {string} event @param {unknown} data */
  async #ask(event, data) {
    /** @param {string} message */
    const failed = (message) => ({ error: { code: "not_connected", message } });
    if (!this.socket?.connected) return failed("There is no connection right now.");
    const answer = this.socket.timeout(ANSWER_TIMEOUT).emitWithAck(event, data);
    return answer.catch(() => failed("The server did not answer in time."));
  }
}

/**
 * A list with what has changed in it, by the entries' ids; `null`: it is gone. New entries come last.
 * @template {{ id?: string, room: string }} Entry
 * @param {Entry[]} list @param {Record<string, Entry | null>} change
 */
export function applyChange(list, change) {
  // Players have an `id`; rooms have only `room`.
  const entries = new Map(list.map((entry) => [entry.id ?? entry.room, entry]));
  for (const [id, entry] of Object.entries(change)) entry ? entries.set(id, entry) : entries.delete(id);
  return [...entries.values()];
}

/**
 * The connection to a room.
 * @template Requests @template Events @template State @template Player @template Kind
 * @extends {Connection<Requests, Events>}
 */
export class RoomConnection extends Connection {
  /** The room, from the reroute on. @type {string | null} */ id = null;
  /** Its kind; `null` before `joined` has come. @type {Kind | null} */ kind = null;
  /** A private room's code, with which others join. @type {string | null} */ code = null;
  /** The id of the player who asked for the room. @type {string | null} */ host = null;
  /** The players in the room. @type {Player[]} */ players = [];
  /** What the room's `state()` returned last; `null` before it has come. @type {State | null} */ state = null;

  close() {
    super.close();
    this.id = this.kind = this.code = this.host = this.state = null;
    this.players = [];
  }
}

/**
 * Whether a reroute leads to the lobby's host, on any port, or to one of these origins; and below the
 * lobby's path.
 * @param {Reroute} to @param {{ origin: string, base: string }} home @param {string[]} [origins]
 */
export function isAllowedReroute({ url, path }, { origin, base }, origins = []) {
  if (!String(path).startsWith(`${base}/rooms/`)) return false;
  if (!url) return true;
  const [room, lobby] = [parseUrl(url), parseUrl(origin)];
  if (!room || !lobby) return false;
  const noDowngrade = room.protocol === lobby.protocol || room.protocol === "https:";
  return (room.hostname === lobby.hostname && noDowngrade) || origins.includes(room.origin);
}

/** `URL.parse`, which older browsers do not have. @param {string} text @param {string} [base] */
export function parseUrl(text, base) {
  try {
    return new URL(text, base);
  } catch {
    return null;
  }
}
