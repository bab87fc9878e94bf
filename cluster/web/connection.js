// @ts-check
/**
 * Structure, as `cluster.js`, which connects these again and again: the connections to the lobby and to
 * a room. What the page asks and says goes out through them, and comes in.
 */

/** @import { Socket } from "socket.io-client" */
/** @import { Args, DataOf, Names, PlayerHere, Reroute, Watcher } from "./types.d.ts" */

/**
 * Calls code of the page's. What it throws, now or as a promise, is told on the console and goes no further.
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

/** An answer that takes longer, in ms, does not come any more. */
const PATIENCE = 30_000;

/**
 * The connection to the lobby: listeners stay when sockets come and go.
 * @template Asked @template Heard
 */
export class Connection {
  /** @type {Socket | null} */ socket = null;
  /** @type {Map<string, Set<(data: any) => void>>} */ #listeners = new Map();
  /** Answers that have not come yet. @type {Set<Promise<any>>} */ #asked = new Set();
  #watch;

  /** @param {"lobby" | "room"} name @param {Watcher} watch */
  constructor(name, watch) {
    this.name = name;
    this.#watch = watch;
  }

  /**
   * Asks, and waits for the answer. Rejects with a {@link Refusal}, which is an Error.
   * @template {Names<Asked>} Name @param {Name} event @param {Args<Asked, Name>} data
   * @returns {Promise<any>}
   */
  async request(event, ...data) {
    this.#watch(`asking: ${event}`, data[0]);
    const answering = this.#ask(event, data[0] === undefined ? {} : data[0]);
    this.#asked.add(answering);
    const { ok, error } = await answering;
    this.#asked.delete(answering);
    this.#watch(`answer: ${event}`, error ? { error } : { ok });
    if (error) throw Object.assign(new Error(error.message), { event, code: error.code });
    return ok;
  }

  /**
   * Says something, and does not wait. A refusal goes to the hook `refused`.
   * @template {Names<Asked>} Name @param {Name} event @param {Args<Asked, Name>} data
   */
  send(event, ...data) {
    this.#watch(`to ${this.name}: ${event}`, data[0]);
    this.socket?.emit(event, data[0] === undefined ? {} : data[0]);
  }

  /**
   * Listens, also after a reroute or a lost connection. Returns a function that ends it.
   * @template {Names<Heard>} Name @param {Name} event @param {(data: DataOf<Heard, Name>) => void} call
   */
  on(event, call) {
    const calls = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, calls.add(call));
    return () => void calls.delete(call);
  }

  /** For the cluster: tells the listeners. @param {string} event @param {any} data */
  heard(event, data) {
    for (const call of [...this.#listeners.get(event) ?? []]) safely(() => call(data));
  }

  /** For the cluster: cuts the connection. A room that keeps seats for a while keeps this one. */
  close() {
    this.#fallSilent()?.io.engine?.close();
  }

  /** For the cluster: the same, but not before what was asked is answered. */
  async finish() {
    const socket = this.#fallSilent();
    await Promise.all(this.#asked);
    socket?.io.engine?.close();
  }

  #fallSilent() {
    const socket = this.socket;
    this.socket = null;
    return socket?.off().offAny();
  }

  /** @param {string} event @param {unknown} data */
  async #ask(event, data) {
    const gone = { error: { code: "not_connected", message: "There is no connection right now." } };
    if (!this.socket?.connected) return gone;
    return this.socket.timeout(PATIENCE).emitWithAck(event, data).catch(() => gone);
  }
}

/** The connection to a room. @template Asked @template Heard @extends {Connection<Asked, Heard>} */
export class RoomConnection extends Connection {
  /** The room that the player is in, or on the way to. @type {string | null} */ id = null;
  /** What others need to join this private room. @type {string | null} */ code = null;
  /** The id of the player for whom it was opened. @type {string | null} */ host = null;
  /** Who is in the room. @type {PlayerHere[]} */ players = [];

  close() {
    super.close();
    this.id = this.code = this.host = null;
    this.players = [];
  }
}

/**
 * Whether a room may be there: at the lobby's host, on any port, or where the page's options say.
 * @param {Reroute} to @param {string} home the lobby's @param {string[]} [origins]
 */
export function mayLeadTo({ url, path }, home, origins = []) {
  if (!String(path).startsWith("/rooms/")) return false;
  if (!url) return true;
  const [room, lobby] = [parseUrl(url), parseUrl(home)];
  if (!room || !lobby) return false;
  const noLessSafe = room.protocol === lobby.protocol || room.protocol === "https:";
  return (room.hostname === lobby.hostname && noLessSafe) || origins.includes(room.origin);
}

/** As `URL.parse`, which is newer than our browsers. @param {string} text @param {string} [base] */
export function parseUrl(text, base) {
  try {
    return new URL(text, base);
  } catch {
    return null;
  }
}
