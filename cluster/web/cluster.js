// @ts-check
/**
 * The structure of the client: read it, and rarely edit it. It knows where the player is, follows
 * reroutes, and brings them back to the lobby whatever ends a connection. `client.js` says what the
 * page does about it: what that code throws is told on the console, and stops nothing here.
 *
 * In a page it loads the client libraries itself; a bundler, Node or a native shell passes `io` and a
 * storage in the options, and needs no `window`. Chrome 90, Firefox 90 and Safari 15 understand it: use
 * nothing newer here (cluster/docs/connections.md, "Browsers").
 */

import { Connection, RoomConnection, mayLeadTo, safely } from "./connection.js";
import { loadLibraries, missingLibraries } from "./libraries.js";
import { TokenCache, cookieStorage } from "./storage.js";

export { cookieStorage, webStorage } from "./storage.js";

/**
 * @import { AnyMessages, FromLobby, FromRoom, Hooks, Joined, Options, Player, Reason, Refusal, Reroute, State,
 *   ToLobby, ToRoom, Watcher, Welcome } from "./types.d.ts"
 */

/** Lost connections come in crowds: each waits a random part of this, in ms, before it comes back. */
const JITTER = 500;
/** The longest wait, in ms, between two attempts to reach the lobby. */
const PATIENCE = 5000;
/** A connection that takes longer, in ms, has failed; so has one that is asked whether it lives. */
const TIMEOUT = 3000;
/** Who is connected is told `welcome` or `joined` within this, in ms. */
const GREETING = 10_000;
/** How long the page may hold up a reroute, in ms: the ticket is good for 15 s. */
const PAUSE = 8000;
/** Reroutes that may fail, one after the other, before the seat is given up. */
const MISSES = 5;
/** A page whose connection is refused with one of these does not reconnect: two windows would replace each other. */
const FOR_GOOD = ["replaced", "kicked", "banned", "logged_out"];
/** What a player reads for a reason that comes without a message. @type {Record<string, string>} */
const SENTENCES = {
  left: "You left the room.",
  dropped: "You were away for too long.",
  expired: "Your seat in the room was given up, since you did not come in time.",
  finished: "The game is over.",
  moved: "You went to another room.",
  crashed: "The room crashed.",
  hung: "The room stopped responding.",
  never_ready: "The room could not be started.",
};

/** `M`: what is said, as in the page's `messages.d.ts`. @template {AnyMessages} [M=AnyMessages] */
export class Cluster {
  /** @type {State} */ state = "stopped";
  /** @type {Player | null} */ you = null;
  /** @type {Connection<ToLobby<M>, FromLobby<M>>} */ lobby;
  /** @type {RoomConnection<ToRoom<M>, FromRoom<M>>} */ room;

  /** The one thing that is waited for. @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** Attempts to reach the lobby since it was last reached. */ #attempts = 0;
  /** Reroutes that have failed since a room was last reached. */ #misses = 0;
  /** The reroute that is being followed. @type {Reroute | null} */ #to = null;
  /** A token that was forgotten here, and of which the lobby is still to be told. @type {string | undefined} */
  #forgotten;
  /** @type {Watcher[]} */ #watchers = [];
  /** Ends what the browser tells. */ #hearing = new AbortController();
  /** @type {TokenCache} */ #token;

  /** @param {Hooks<M>} [hooks] @param {Options} [options] */
  constructor(hooks = {}, options = {}) {
    this.hooks = hooks;
    this.options = options;
    this.#token = new TokenCache(options.storage ?? cookieStorage());
    this.lobby = new Connection("lobby", (what, detail) => this.#watch(what, detail));
    this.room = new RoomConnection("room", (what, detail) => this.#watch(what, detail));
  }

  /** Connects to the lobby. From now on the player is in it, in a room, or on the way back. */
  start() {
    if (this.state !== "stopped") return;
    this.#hearing = new AbortController();
    const { signal } = this.#hearing;
    const missing = missingLibraries(this.options);
    if (missing.length === 0) return this.#begin(signal);
    this.#setState("connecting");
    loadLibraries(missing).then(
      () => signal.aborted || this.#begin(signal),
      () => signal.aborted || this.#giveUp(),
    );
  }

  /** @param {AbortSignal} signal */
  #begin(signal) {
    // A page that the browser kept asleep has lost its connections without being told.
    globalThis.addEventListener?.("pageshow", (event) => event.persisted && this.#backToLobby("asleep"), { signal });
    globalThis.addEventListener?.("online", () => this.#awake(), { signal });
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || this.#awake(), { signal });
    this.#enterLobby();
  }

  #giveUp() {
    this.stop();
    const message = "The client libraries are not here. Run “npm ci” in the project's folder, then reload.";
    this.#call("refused", { event: "start", code: "no_libraries", message });
  }

  /** Hangs up, and stays away until `start()`. */
  stop() {
    this.#hearing.abort();
    this.#hangUp();
    this.#setState("stopped");
  }

  /**
   * Becomes a player: by name, or with all that `on_register` wants. Rejects with a {@link Refusal}.
   * @param {string | { name?: string, [more: string]: unknown }} form @returns {Promise<Player>}
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
   * Asks for a seat in a room of this kind, by default the first that the program registers; the lobby's `pick`
   * says in which. Resolves when the player is on the way, and rejects with a {@link Refusal}.
   * @param {string} [kind] @returns {Promise<{ room: string }>}
   */
  play(kind) {
    return this.#lobbyRequests.request("play", { kind });
  }

  /**
   * Asks for a seat in this room, or in the private one with this code; otherwise as {@link Cluster.play}.
   * @param {string | { code: string }} to @returns {Promise<{ room: string }>}
   */
  join(to) {
    return this.#lobbyRequests.request("join", typeof to === "string" ? { room: to } : to);
  }

  /** Requests that the cluster answers itself. @type {Connection<any, never>} */
  get #lobbyRequests() {
    return /** @type {Connection<any, never>} */ (/** @type {unknown} */ (this.lobby));
  }

  /** Logs out: forgets who this is, also in the lobby, and is there as a stranger. */
  async forget() {
    this.#forgotten = await this.#token.get() ?? this.#forgotten;
    const removed = this.#token.remove();
    this.you = null;
    this.leave();
    await removed;
  }

  /** Leaves the room for good. */
  leave() {
    // Said to the room, which would otherwise take it for a lost connection; or to the lobby, if the
    // player is not in it yet and a seat waits for them.
    this.room.socket?.off().disconnect();
    this.lobby.socket?.emit("leave_room");
    this.#backToLobby("left");
  }

  /** Loses the connection, as a bad network would. */
  drop() {
    (this.room.socket ?? this.lobby.socket)?.io.engine.close();
  }

  /** Calls back for everything that happens here. @param {Watcher} call */
  watch(call) {
    this.#watchers.push(call);
  }

  #enterLobby() {
    this.#hangUp();
    /** @param {(auth: { token: string | undefined }) => void} use */
    const auth = async (use) => use({ token: await this.#token.get() });
    this.#connect(this.lobby, "", "/socket.io", auth);
    this.#setState("connecting");
  }

  /** @param {Reroute} to */
  async #enterRoom(to) {
    // The room before, if there is one, has let them go.
    this.room.close();
    this.room.id = to.room;
    this.#to = to;
    this.#setState("rerouting");
    // The page may have left when it was told.
    if (this.#to !== to) return;
    const enough = new Promise((resolve) => this.#later(PAUSE, () => resolve(null)));
    // Shown or not, the player goes; of a failure the console was told.
    await Promise.race([this.#call("reroute", to), enough]).catch(() => {});
    // Meanwhile they may have left, or have been sent elsewhere.
    if (this.#to === to) this.#connect(this.room, to.url, to.path, { ticket: to.ticket });
  }

  /**
   * The one place that reconnects: out of wherever the player is, and to the lobby.
   * @param {string | Partial<Reason>} why a code of this file's, or a reason of the room's
   */
  #backToLobby(why) {
    if (this.state === "stopped") return;
    // A room that cannot be reached: the seat is given up, or the player would be sent there for ever.
    if (this.state === "rerouting" && ++this.#misses % MISSES === 0) this.lobby.socket?.emit("leave_room");
    const lost = this.room.id !== null;
    this.#hangUp();
    const wait = Math.min(PATIENCE, JITTER * 2 ** this.#attempts++) * Math.random();
    this.#later(wait, () => this.#enterLobby());
    this.#watch(`back to the lobby in ${Math.round(wait)} ms`, { why });
    this.#setState("connecting");
    if (lost) this.#call("roomLost", complete(typeof why === "string" ? { code: why } : why));
  }

  /**
   * @param {Connection<any, any>} connection @param {string} url @param {string} path
   * @param {{ ticket: string } | ((use: (auth: { token: string | undefined }) => void) => void)} auth
   */
  #connect(connection, url, path, auth) {
    const { io = globals.io } = this.options;
    const origin = url || this.#home;
    this.#watch(`connecting to ${origin}${path}`, {});
    const socket = safely(() => io(origin, {
      path, auth, timeout: TIMEOUT, transports: ["websocket"], reconnection: false, forceNew: true,
    }));
    if (!socket) return this.#later(0, () => this.#lost(connection, "no_socket"));
    connection.socket = socket;
    socket.on("connect_error", ({ message }) => this.#lost(connection, message));
    socket.on("disconnect", () => this.#lost(connection, "connection_lost"));
    socket.onAny((event, data) => this.#heard(connection, event, data));
    this.#later(GREETING, () => this.#lost(connection, "no_answer"));
  }

  /** @param {Connection<any, any>} connection @param {string} why */
  #lost(connection, why) {
    // On the way to a room the lobby is not needed any more.
    if (connection === this.lobby && this.state === "rerouting") connection.close();
    else this.#backToLobby(why);
  }

  /**
   * What the cluster itself says, and all the rest.
   * @param {Connection<any, any>} connection @param {string} event @param {any} data
   */
  #heard(connection, event, data) {
    this.#watch(`${connection.name}: ${event}`, data);
    switch (event) {
      case "welcome": return this.#welcome(data);
      case "joined": return this.#joined(data);
      case "reroute":
        if (data.to !== "room") return this.#backToLobby(data.reason);
        if (!mayLeadTo(data, this.#home, this.options.origins)) return this.#stay(connection, data);
        return void this.#enterRoom(data);
      case "refused": return this.#refused(data);
      case "player_joined": case "player_left": case "player_dropped": case "player_returned":
        return this.#playersChanged(event, data.player);
    }
    connection.heard(event, data);
    this.#call(connection === this.lobby ? "lobbyEvent" : "roomEvent", event, data);
  }

  get #home() {
    return this.options.url || location.origin;
  }

  /**
   * Does not go where rooms cannot be, and gives up the seat.
   * @param {Connection<any, any>} connection @param {Reroute} to
   */
  #stay(connection, { url, path }) {
    const message = `This page may not go to ${url}${path}: see "origins" in the options of cluster.js.`;
    this.#watch("reroute not followed", { message });
    if (connection === this.lobby) connection.socket?.emit("leave_room");
    else this.#backToLobby("bad_reroute");
    this.#call("refused", { event: "reroute", code: "bad_reroute", message });
  }

  /** @param {Welcome} welcome */
  #welcome(welcome) {
    clearTimeout(this.#timer);
    // A reroute that fails each time must not send the player back and forth without a pause.
    this.#attempts = this.#misses;
    this.you = welcome.you;
    if (welcome.refused) this.#token.remove();
    // One that is getting old is replaced.
    if (welcome.token) this.#token.set(welcome.token);
    this.#logOut();
    this.#setState("lobby");
    const { returned } = welcome;
    if (returned) returned.reason = complete(returned.reason);
    this.#call("lobbyEntered", welcome);
  }

  /** Ends the login that was forgotten: whoever has copied its token cannot use it any more. */
  async #logOut() {
    const token = this.#forgotten;
    if (!token) return;
    const lobby = /** @type {Connection<{ logout: object }, never>} */ (/** @type {unknown} */ (this.lobby));
    // Until it is done it is said again at each welcome. A token that is refused is of no use to anybody.
    const done = await lobby.request("logout", { token }).then(() => true, ({ code }) => code === "bad_token");
    if (done && this.#forgotten === token) this.#forgotten = undefined;
  }

  /** @param {Joined} joined */
  #joined(joined) {
    clearTimeout(this.#timer);
    this.lobby.finish();
    this.#to = null;
    this.#attempts = this.#misses = 0;
    this.room.code = joined.code ?? null;
    this.room.host = joined.host;
    this.room.players = joined.players.map((player) => ({ ...player, away: joined.away.includes(player.id) }));
    this.#setState("room");
    this.#call("roomEntered", joined);
    this.#call("playersChanged", this.room.players);
  }

  /** @param {Refusal} refusal */
  #refused(refusal) {
    if (refusal.event === "connect" && FOR_GOOD.includes(refusal.code)) this.stop();
    if (refusal.code === "logged_out") this.#token.drop();
    this.#call("refused", refusal);
  }

  /** @param {string} event @param {Player} player */
  #playersChanged(event, player) {
    const { players } = this.room;
    const now = event === "player_left" ? [] : [{ ...player, away: event === "player_dropped" }];
    const at = players.findIndex(({ id }) => id === player.id);
    this.room.players = at < 0 ? [...players, ...now] : [...players.slice(0, at), ...now, ...players.slice(at + 1)];
    this.#call("playersChanged", this.room.players);
  }

  /** The network is back, or the page. A connection that is dead would not tell for eight seconds. */
  #awake() {
    if (this.state === "connecting") {
      // An attempt that has begun goes on: the lobby may have answered already, and tells once why the player is back.
      if (this.lobby.socket) return;
      // It does not wait longer now; but a thousand pages may be told this at the same moment.
      return this.#later(JITTER * Math.random(), () => this.#enterLobby());
    }
    const connection = this.state === "room" ? this.room : this.lobby;
    const { socket } = connection;
    // No enum has an event of this name, so nobody's hook is called: the answer is that there is none.
    const answer = socket?.timeout(TIMEOUT).emitWithAck("welcome");
    answer?.catch(() => socket === connection.socket && this.#lost(connection, "no_answer"));
  }

  /** Listens to nobody any more, and waits for nothing. */
  #hangUp() {
    clearTimeout(this.#timer);
    this.#to = null;
    this.lobby.finish();
    this.room.close();
  }

  /** @param {number} ms @param {() => void} call */
  #later(ms, call) {
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

/** A reason with a message for the player. @param {Partial<Reason> | null} [reason] @returns {Reason} */
function complete(reason) {
  const { code = "connection_lost", message = SENTENCES[code] } = reason ?? {};
  return { code, message: message ?? "The connection to the room was lost." };
}

/** The client library, where a page has loaded it. */
const globals = /** @type {{ io: typeof import("socket.io-client").io }} */ (/** @type {unknown} */ (globalThis));
