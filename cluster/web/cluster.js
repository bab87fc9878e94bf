// @ts-check
/// <reference path="./page.d.ts" />
/**
 * The client: part of the structure, rarely edited. It tracks where the player is, follows
 * reroutes, and returns to the lobby whenever a connection ends. `client.js` has the page's hooks;
 * what they throw is logged to the console and changes nothing here.
 *
 * In a page it loads the client libraries itself. A bundler, Node or a native shell passes `io` and
 * a storage in the options; `window` is not needed. It must run in Chrome 90, Firefox 90 and
 * Safari 15 (cluster/docs/page.md, "Browsers").
 */

import { BASE, Connection, RoomConnection, applyChange, isAllowedReroute, safely } from "./connection.js";
import { loadLibraries, missingLibraries } from "./libraries.js";
import { TokenCache, cookieStorage } from "./storage.js";

export { cookieStorage, webStorage } from "./storage.js";

/**
 * @import { AnyMessages, FromLobby, FromRoom, Hooks, Joined, KindOf, Options, Player, PlayerHere, Reason,
 *   Refusal, Reroute, State, StateOf, ToLobby, ToRoom, Watcher, Welcome } from "./types.d.ts"
 */

/**
 * Upper bound in ms of the first reconnect delay. It is random, because many clients may disconnect
 * at the same moment.
 */
const RECONNECT_DELAY = 500;
/** The upper bound doubles with each attempt, up to this many ms. */
const MAX_RECONNECT_DELAY = 5000;
/** Timeout in ms for connecting, and for the probe of a connection that may be dead. */
const CONNECT_TIMEOUT = 3000;
/** Timeout in ms for `welcome` from the lobby or `joined` from a room. */
const GREETING_TIMEOUT = 10_000;
/** How long the hook `reroute` may take, in ms; the ticket expires after 15 s. */
const REROUTE_HOOK_TIMEOUT = 8000;
/** After this many failed reroutes in a row the seat is given up. */
const MAX_FAILED_REROUTES = 5;
/** Refusals after which this page does not reconnect: two windows would replace each other. */
const FINAL_REFUSALS = ["replaced", "kicked", "banned", "logged_out"];
/** The message of a reason that comes without one. @type {Record<string, string>} */
const REASON_MESSAGES = {
  left: "You left the room.",
  dropped: "Your connection to the room was lost.",
  expired: "Your seat in the room was given up, since you did not come in time.",
  finished: "The game is over.",
  moved: "You went to another room.",
  crashed: "The room crashed.",
  hung: "The room stopped responding.",
  never_ready: "The room could not be started.",
};

/** `M`: `Messages` of the page's `messages.d.ts`. @template {AnyMessages} [M=AnyMessages] */
export class Cluster {
  /** @type {State} */ state = "stopped";
  /** @type {Player<M> | null} */ you = null;
  /** @type {Connection<ToLobby<M>, FromLobby<M>>} */ lobby;
  /** @type {RoomConnection<ToRoom<M>, FromRoom<M>, StateOf<M>, PlayerHere<M>, KindOf<M>>} */ room;

  /** At most one timer runs. @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** Attempts since the lobby was last reached. */ #attempts = 0;
  /** Reroutes that failed since a room was last reached. */ #failedReroutes = 0;
  /** The reroute in progress. @type {Reroute | null} */ #reroute = null;
  /** A token to revoke: the lobby has not confirmed the logout. @type {string | undefined} */
  #loggedOut;
  /** Further origins of rooms, as `welcome` says. @type {string[]} */ #origins = [];
  /** The lists that the page watches. @type {Record<string, any[]>} */ #lists = {};
  /** @type {Watcher[]} */ #watchers = [];
  /** Removes the listeners for the browser's events. */ #pageEvents = new AbortController();
  /** @type {TokenCache} */ #token;

  /** @param {Hooks<M>} [hooks] @param {Options} [options] */
  constructor(hooks = {}, options = {}) {
    this.hooks = hooks;
    this.options = options;
    this.#token = new TokenCache(options.storage ?? cookieStorage());
    this.lobby = new Connection("lobby", (what, detail) => this.#watch(what, detail));
    this.room = new RoomConnection("room", (what, detail) => this.#watch(what, detail));
  }

  /** Connects to the lobby, and reconnects until `stop()`. */
  start() {
    if (this.state !== "stopped") return;
    this.#pageEvents = new AbortController();
    const { signal } = this.#pageEvents;
    const missing = missingLibraries(this.options);
    if (missing.length === 0) return this.#begin(signal);
    this.#setState("connecting");
    loadLibraries(missing).then(
      () => signal.aborted || this.#begin(signal),
      () => signal.aborted || this.#librariesMissing(),
    );
  }

  /** @param {AbortSignal} signal */
  #begin(signal) {
    // A page restored from the back/forward cache has lost its connections without an event.
    const onPageShow = (/** @type {PageTransitionEvent} */ { persisted }) =>
      persisted && this.#backToLobby({ code: "asleep" });
    const onVisibilityChange = () => document.hidden || this.#checkConnection();
    globalThis.addEventListener?.("pageshow", onPageShow, { signal });
    // A page that was left may keep its connections: others would see the player for eight seconds.
    globalThis.addEventListener?.("pagehide", () => this.#disconnect(), { signal });
    globalThis.addEventListener?.("online", () => this.#checkConnection(), { signal });
    globalThis.document?.addEventListener("visibilitychange", onVisibilityChange, { signal });
    this.#enterLobby();
  }

  #librariesMissing() {
    this.stop();
    const message = "The client libraries cannot be loaded. Run “npm ci” in the project's folder, then reload.";
    this.#call("refused", { event: "start", code: "no_libraries", message });
  }

  /** Disconnects, until `start()`. */
  stop() {
    this.#pageEvents.abort();
    this.#disconnect();
    this.#setState("stopped");
  }

  /**
   * Registers a player, by name or with the fields that `on_register` expects. Rejects with a
   * {@link Refusal}.
   * @param {string | { name?: string, [more: string]: unknown }} form @returns {Promise<Player<M>>}
   */
  async register(form) {
    const data = typeof form === "string" ? { name: form } : form;
    const { token, you } = await this.#lobbyRequests.request("register", data);
    const stored = this.#token.set(token);
    this.you = you;
    this.#watch("registered", you);
    await stored;
    return you;
  }

  /**
   * Asks for a seat in a room of this kind, by default the first that the program registers; the
   * lobby's `pick` chooses the room. Resolves when the lobby has sent the reroute; the hook
   * `reroute` may have been called already. Rejects with a {@link Refusal}.
   * @param {KindOf<M>} [kind] @returns {Promise<{ room: string }>}
   */
  play(kind) {
    return this.#lobbyRequests.request("play", { kind });
  }

  /**
   * Asks for a seat in this room, or in the private room with this code; otherwise as
   * {@link Cluster.play}.
   * @param {string | { code: string }} to @returns {Promise<{ room: string }>}
   */
  join(to) {
    return this.#lobbyRequests.request("join", typeof to === "string" ? { room: to } : to);
  }

  /** Requests that no `messages.d.ts` has. @type {Connection<any, never>} */
  get #lobbyRequests() {
    return /** @type {Connection<any, never>} */ (/** @type {unknown} */ (this.lobby));
  }

  /** Logs out: revokes the token in the lobby, and returns there unregistered. */
  async logout() {
    this.#loggedOut = await this.#token.get() ?? this.#loggedOut;
    const removed = this.#token.remove();
    this.you = null;
    this.leave();
    await removed;
  }

  /** Leaves the room for good. */
  leave() {
    // A Socket.IO disconnect tells the room that this is not a lost connection. On the way to a
    // room, `leave_room` tells the lobby, which holds a reserved seat.
    this.room.socket?.off().disconnect();
    this.lobby.socket?.emit("leave_room");
    this.#backToLobby({ code: "left" });
  }

  /** Simulates a lost connection. */
  drop() {
    (this.room.socket ?? this.lobby.socket)?.io.engine.close();
  }

  /** Calls back for each event, request and change of state. @param {Watcher} call */
  watch(call) {
    this.#watchers.push(call);
  }

  #enterLobby() {
    this.#disconnect();
    /** @param {(auth: { token: string | undefined }) => void} use */
    const auth = async (use) => use({ token: await this.#token.get() });
    this.#connect(this.lobby, "", `${this.home.base}/socket.io`, auth);
    this.#setState("connecting");
  }

  /** @param {Reroute} to */
  async #enterRoom(to) {
    this.room.close();
    this.room.id = to.room;
    this.#reroute = to;
    this.#setState("rerouting");
    // The hook `stateChanged` may have called `leave()`.
    if (this.#reroute !== to) return;
    const timeout = new Promise((resolve) => this.#schedule(REROUTE_HOOK_TIMEOUT, () => resolve(null)));
    // `#call` has logged what the hook throws.
    await Promise.race([this.#call("reroute", to), timeout]).catch(() => {});
    // Another reroute, or `leave()`, may have replaced this one.
    if (this.#reroute === to) this.#connect(this.room, to.url, to.path, { ticket: to.ticket });
  }

  /**
   * The only way back to the lobby: closes all connections, then reconnects after a random delay
   * that grows exponentially.
   * @param {Partial<Reason> | null} [reason]
   */
  #backToLobby(reason) {
    if (this.state === "stopped") return;
    if (this.state === "rerouting" && ++this.#failedReroutes % MAX_FAILED_REROUTES === 0) {
      // The room cannot be reached. The lobby would send the player there again and again.
      this.lobby.socket?.emit("leave_room");
    }
    const wasInRoom = this.room.id !== null;
    this.#disconnect();
    const limit = Math.min(MAX_RECONNECT_DELAY, RECONNECT_DELAY * 2 ** this.#attempts++);
    const delay = limit * Math.random();
    this.#schedule(delay, () => this.#enterLobby());
    const complete = withMessage(reason);
    this.#watch(`back to the lobby in ${Math.round(delay)} ms`, { why: complete.code });
    this.#setState("connecting");
    if (wasInRoom) this.#call("roomLost", complete);
  }

  /**
   * @param {Connection<any, any>} connection @param {string} url @param {string} path
   * @param {{ ticket: string } | ((use: (auth: { token: string | undefined }) => void) => void)} auth
   */
  #connect(connection, url, path, auth) {
    const { io = globals.io } = this.options;
    const origin = url || this.home.origin;
    this.#watch(`connecting to ${origin}${path}`, {});
    const socket = safely(() => io(origin, {
      path, auth, timeout: CONNECT_TIMEOUT, transports: ["websocket"], reconnection: false, forceNew: true,
    }));
    if (!socket) return this.#schedule(0, () => this.#lost(connection, "no_socket"));
    connection.socket = socket;
    socket.on("connect_error", ({ message }) => this.#lost(connection, message));
    socket.on("disconnect", () => this.#lost(connection, "connection_lost"));
    socket.onAny((event, data) => this.#onEvent(connection, event, data));
    this.#schedule(GREETING_TIMEOUT, () => this.#lost(connection, "no_answer"));
  }

  /** @param {Connection<any, any>} connection @param {string} code */
  #lost(connection, code) {
    const to = this.#reroute;
    // A reroute continues without the lobby.
    if (connection === this.lobby && this.state === "rerouting") connection.close();
    // The room's host cannot be reached from here, or the page was loaded before the host was there
    // and may not connect to it: the lobby relays.
    else if (this.state === "rerouting" && to?.url) void this.#enterRoom({ ...to, url: "" });
    else this.#backToLobby({ code });
  }

  /** @param {Connection<any, any>} connection @param {string} event @param {any} data */
  #onEvent(connection, event, data) {
    this.#watch(`${connection.name}: ${event}`, data);
    switch (event) {
      case "welcome": return this.#welcome(data);
      case "joined": return this.#joined(data);
      case "reroute":
        if (data.to !== "room") return this.#backToLobby(data.reason);
        if (isAllowedReroute(data, this.home, [...this.options.origins ?? [], ...this.#origins])) {
          return void this.#enterRoom(data);
        }
        // To a host that was not there when the page came to the lobby: the lobby relays.
        if (this.#origins.length && isAllowedReroute({ ...data, url: "" }, this.home)) {
          return void this.#enterRoom({ ...data, url: "" });
        }
        return this.#refuseReroute(connection, data);
      case "refused": return this.#refused(data);
      case "player_joined": case "player_left": case "player_disconnected": case "player_reconnected":
      case "player_changed":
        return this.#playersChanged([[event, data]]);
      case "announcements": return this.#playersChanged(data);
      case "profile_changed":
        this.you = data.you;
        this.#token.update(data);
        data = data.you; // without the token
        break;
      case "room_state":
        this.room.state = data.state;
        return this.#call("roomStateChanged", data.state);
      case "rooms": case "players":
        this.#lists[event] = data;
        break;
      case "rooms_changed": case "players_changed":
        event = event.replace("_changed", "");
        data = this.#lists[event] = applyChange(this.#lists[event], data); // whole
    }
    connection.dispatch(event, data);
    this.#call(connection === this.lobby ? "lobbyEvent" : "roomEvent", event, data);
  }

  /** For dev-panel.js: the lobby's origin, and its path without a slash at the end. */
  get home() {
    const { origin, pathname } = new URL(this.options.url || location.origin + BASE);
    return { origin, base: pathname.replace(/\/+$/, "") };
  }

  /**
   * A reroute leads to an origin that is not allowed. In the lobby the player stays and gives up
   * the seat; in a room they return to the lobby.
   * @param {Connection<any, any>} connection @param {Reroute} to
   */
  #refuseReroute(connection, { url, path }) {
    const message = `This page may not connect to ${url}${path}: see "origins" in the options of cluster.js.`;
    this.#watch("reroute not followed", { message });
    if (connection === this.lobby) connection.socket?.emit("leave_room");
    else this.#backToLobby({ code: "bad_reroute" });
    this.#call("refused", { event: "reroute", code: "bad_reroute", message });
  }

  /** @param {Welcome<M>} welcome */
  #welcome(welcome) {
    clearTimeout(this.#timer);
    // Failed reroutes count as attempts, so the delay grows while a room cannot be reached.
    this.#attempts = this.#failedReroutes;
    this.you = welcome.you;
    this.#origins = welcome.origins ?? [];
    this.#token.update(welcome);
    this.#revokeToken();
    this.#setState("lobby");
    const { returned } = welcome;
    if (returned) returned.reason = withMessage(returned.reason);
    this.#call("lobbyEntered", welcome);
  }

  /** Revokes the token of a logout, so that copies are invalid too. Retried at each `welcome`. */
  async #revokeToken() {
    const token = this.#loggedOut;
    if (!token) return;
    const answer = this.#lobbyRequests.request("logout", { token });
    // A token that the lobby does not accept needs no logout.
    const revoked = await answer.then(() => true, ({ code }) => code === "bad_token");
    if (revoked && this.#loggedOut === token) this.#loggedOut = undefined;
  }

  /** @param {Joined<M>} joined */
  #joined(joined) {
    clearTimeout(this.#timer);
    this.lobby.finish();
    this.#reroute = null;
    this.#attempts = this.#failedReroutes = 0;
    this.room.kind = /** @type {KindOf<M>} */ (joined.kind);
    this.room.code = joined.code ?? null;
    this.room.host = joined.host;
    const { you, players } = joined;
    this.you = you; // the profile may have changed on the way
    const away = new Set(joined.away);
    this.room.players = players.map((player) => ({ ...player, away: away.has(player.id) }));
    this.#setState("room");
    this.#call("roomEntered", joined);
    this.#call("playersChanged", this.room.players);
  }

  /** @param {Refusal} refusal */
  #refused(refusal) {
    if (refusal.event === "connect" && FINAL_REFUSALS.includes(refusal.code)) this.stop();
    if (refusal.code === "logged_out") this.#token.drop();
    this.#call("refused", refusal);
  }

  /** Players have joined, left or changed, in this order. @param {[string, { player: Player<M> }][]} changes */
  #playersChanged(changes) {
    const changed = changes.filter(([event, { player }]) => this.#updatePlayer(event, player));
    if (changed.length > 0) this.#call("playersChanged", this.room.players);
  }

  /** Returns whether the list has changed. @param {string} event @param {Player<M>} player */
  #updatePlayer(event, player) {
    const { players } = this.room;
    const found = players.findIndex(({ id }) => id === player.id);
    const isChange = event === "player_changed";
    if (isChange && this.you?.id === player.id) this.you = player;
    // Players on the way may change as well.
    if (isChange && found < 0) return false;
    const away = isChange ? players[found].away : event === "player_disconnected";
    const updated = event === "player_left" ? [] : [{ ...player, away }];
    const index = found < 0 ? players.length : found;
    this.room.players = [...players.slice(0, index), ...updated, ...players.slice(index + 1)];
    return true;
  }

  /**
   * The network or the page is back. Retries within half a second, or probes the connection:
   * Socket.IO would notice a dead one only after eight seconds.
   */
  #checkConnection() {
    if (this.state === "connecting") {
      // The attempt in progress continues: the lobby reports only once why the player is back, and
      // may have done so.
      if (this.lobby.socket) return;
      // Still with jitter: many pages get this event at the same moment.
      return this.#schedule(RECONNECT_DELAY * Math.random(), () => this.#enterLobby());
    }
    const connection = this.state === "room" ? this.room : this.lobby;
    const { socket } = connection;
    // `welcome` is never a request, so no hook is called; any answer, here a refusal, will do.
    const answer = socket?.timeout(CONNECT_TIMEOUT).emitWithAck("welcome");
    answer?.catch(() => socket === connection.socket && this.#lost(connection, "no_answer"));
  }

  /** Closes both connections and stops the timer. */
  #disconnect() {
    clearTimeout(this.#timer);
    this.#reroute = null;
    this.lobby.finish();
    this.room.close();
  }

  /** Replaces the timer. @param {number} ms @param {() => void} call */
  #schedule(ms, call) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(call, ms);
  }

  /** @param {State} state */
  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.#watch(`state: ${state}`, {});
    this.#call("stateChanged", state);
  }

  /** Calls a hook. @param {keyof Hooks<M>} name @param {any[]} details */
  #call(name, ...details) {
    return safely(() => /** @type {any} */ (this.hooks)[name]?.(...details));
  }

  /** @type {Watcher} */
  #watch(what, detail) {
    for (const call of [...this.#watchers]) safely(() => call(what, detail));
  }
}

/** Adds a message for the player. @param {Partial<Reason> | null} [reason] @returns {Reason} */
function withMessage(reason) {
  const { code = "connection_lost", message = REASON_MESSAGES[code] } = reason ?? {};
  return { code, message: message ?? "The connection to the room was lost." };
}

/** The global `io`, if the page has loaded it. */
const globals = /** @type {{ io: typeof import("socket.io-client").io }} */ (/** @type {unknown} */ (globalThis));
