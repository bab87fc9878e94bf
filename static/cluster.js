// @ts-check
/**
 * The structure of the client: read it, and rarely edit it. It knows where the player is, follows
 * reroutes, and brings him back to the lobby whatever ends a connection. `client.js` says what the
 * page does about it.
 *
 * In a page it finds `io` and `Cookies` as globals; a bundler, Node or a native shell passes its own
 * in the options, and needs no `window`.
 */

import { Line, RoomLine, mayLeadTo } from "./line.js";

/** @import { Messages } from "./messages.d.ts" */
/**
 * @import { AnyMessages, Cookies, FromLobby, FromRoom, Hooks, Joined, Options, Player, Refusal, Reroute, State,
 *   TokenStorage, ToLobby, ToRoom, Watcher, Welcome } from "./words.d.ts"
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
/** A page that is refused its connection like this stays put, or two would fight for the place. */
const FOR_GOOD = ["replaced", "kicked", "banned", "logged_out"];

/** @template {AnyMessages} [M=Messages] */
export class Cluster {
  /** @type {State} */ state = "stopped";
  /** @type {Player | null} */ you = null;
  /** @type {Line<ToLobby<M>, FromLobby<M>>} */ lobby;
  /** @type {RoomLine<ToRoom<M>, FromRoom<M>>} */ room;

  /** The one thing that is waited for. @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** Attempts to reach the lobby since it was last reached. */ #attempts = 0;
  /** Reroutes that have failed since a room was last reached. */ #misses = 0;
  /** The reroute that is being followed. @type {Reroute | null} */ #to = null;
  /** A token that was forgotten here, and of which the lobby is still to be told. @type {string | undefined} */
  #forgotten;
  /** @type {Watcher[]} */ #watchers = [];
  /** Ends what the browser tells. */ #hearing = new AbortController();

  /** @param {Hooks<M>} [hooks] @param {Options} [options] */
  constructor(hooks = {}, options = {}) {
    this.hooks = hooks;
    this.options = options;
    this.storage = options.storage ?? cookieStorage();
    this.lobby = new Line("lobby", (what, detail) => this.#watch(what, detail));
    this.room = new RoomLine("room", (what, detail) => this.#watch(what, detail));
  }

  /** Connects to the lobby. From now on the player is in it, in a room, or on his way back. */
  start() {
    if (this.state !== "stopped") return;
    this.#hearing = new AbortController();
    const { signal } = this.#hearing;
    // A page that the browser kept asleep has lost its connections without being told.
    globalThis.addEventListener?.("pageshow", (event) => event.persisted && this.#backToLobby("asleep"), { signal });
    globalThis.addEventListener?.("online", () => this.#awake(), { signal });
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || this.#awake(), { signal });
    this.#enterLobby();
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
    const lobby = /** @type {Line<{ register: object }, never>} */ (/** @type {unknown} */ (this.lobby));
    const { token, you } = await lobby.request("register", data);
    await this.storage.set(token);
    this.you = you;
    this.#watch("registered", you);
    return you;
  }

  /** Logs out: forgets who this is, also in the lobby, and is there as a stranger. */
  async forget() {
    this.#forgotten = await this.storage.get() ?? this.#forgotten;
    await this.storage.remove();
    this.you = null;
    this.leave();
  }

  /** Leaves the room for good. */
  leave() {
    // Said to the room, which would otherwise take it for a lost connection; or to the lobby, if he is
    // not in it yet and a seat waits for him.
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
    const auth = async (use) => use({ token: await this.storage.get() });
    this.#connect(this.lobby, "", "/socket.io", auth);
    this.#setState("connecting");
  }

  /** @param {Reroute} to */
  async #enterRoom(to) {
    // The room before, if there is one, has let him go.
    this.room.close();
    this.room.id = to.room;
    this.#to = to;
    try {
      this.#setState("rerouting");
      const enough = new Promise((resolve) => this.#later(PAUSE, () => resolve(null)));
      await Promise.race([this.hooks.reroute?.(to), enough]);
    } catch (error) {
      console.error(error);
      if (this.#to === to) this.#backToLobby("not followed");
    }
    // Meanwhile he may have left, or have been sent elsewhere.
    if (this.#to === to) this.#connect(this.room, to.url, to.path, { ticket: to.ticket });
  }

  /**
   * The one place that reconnects: out of wherever the player is, and to the lobby.
   * @param {string} why
   */
  #backToLobby(why) {
    if (this.state === "stopped") return;
    // A room that cannot be reached: he gives up the seat, or he would be sent there for ever.
    if (this.state === "rerouting" && ++this.#misses % MISSES === 0) this.lobby.socket?.emit("leave_room");
    const lost = this.room.id !== null;
    this.#hangUp();
    const wait = Math.min(PATIENCE, JITTER * 2 ** this.#attempts++) * Math.random();
    this.#later(wait, () => this.#enterLobby());
    this.#watch(`back to the lobby in ${Math.round(wait)} ms`, { why });
    this.#setState("connecting");
    if (lost) this.hooks.roomLost?.(why);
  }

  /**
   * @param {Line<any, any>} line @param {string} url @param {string} path
   * @param {{ ticket: string } | ((use: (auth: { token: string | undefined }) => void) => void)} auth
   */
  #connect(line, url, path, auth) {
    const io = this.options.io ?? globals.io;
    const origin = url || this.#home;
    this.#watch(`connecting to ${origin}${path}`, {});
    const socket = io(origin, {
      path, auth, timeout: TIMEOUT, transports: ["websocket"], reconnection: false, forceNew: true,
    });
    line.socket = socket;
    socket.on("connect_error", ({ message }) => this.#lost(line, message));
    socket.on("disconnect", () => this.#lost(line, "connection lost"));
    socket.onAny((event, data) => this.#heard(line, event, data));
    this.#later(GREETING, () => this.#lost(line, "no answer"));
  }

  /** @param {Line<any, any>} line @param {string} why */
  #lost(line, why) {
    // Who is on his way to a room does not need the lobby any more.
    if (line === this.lobby && this.state === "rerouting") line.close();
    else this.#backToLobby(why);
  }

  /**
   * What the cluster itself says, and all the rest.
   * @param {Line<any, any>} line @param {string} event @param {any} data
   */
  #heard(line, event, data) {
    this.#watch(`${line.name}: ${event}`, data);
    switch (event) {
      case "welcome": return this.#welcome(data);
      case "joined": return this.#joined(data);
      case "reroute":
        if (data.to !== "room") return this.#backToLobby(data.reason);
        return mayLeadTo(data, this.#home, this.options.origins) ? void this.#enterRoom(data) : this.#stay(line, data);
      case "refused": return this.#refused(data);
      case "player_joined": case "player_left": case "player_dropped": case "player_returned":
        return this.#playersChanged(event, data.player);
    }
    line.heard(event, data);
    const said = /** @type {[any, any]} */ ([event, data]);
    if (line === this.lobby) this.hooks.lobbyEvent?.(...said);
    else this.hooks.roomEvent?.(...said);
  }

  get #home() {
    return this.options.url || location.origin;
  }

  /** Does not go where rooms cannot be, and gives up the seat. @param {Line<any, any>} line @param {Reroute} to */
  #stay(line, { url, path }) {
    const message = `This page may not go to ${url}${path}: see "origins" in the options of cluster.js.`;
    this.#watch("reroute not followed", { message });
    if (line === this.lobby) line.socket?.emit("leave_room");
    else this.#backToLobby("bad_reroute");
    this.hooks.refused?.({ event: "reroute", code: "bad_reroute", message });
  }

  /** @param {Welcome} welcome */
  #welcome(welcome) {
    clearTimeout(this.#timer);
    // A reroute that fails each time must not send him back and forth without a pause.
    this.#attempts = this.#misses;
    this.you = welcome.you;
    if (welcome.refused) this.storage.remove();
    // One that is getting old is replaced.
    if (welcome.token) this.storage.set(welcome.token);
    this.#logOut();
    this.#setState("lobby");
    this.hooks.lobbyEntered?.(welcome);
  }

  /** Ends the login that was forgotten: whoever has copied its token cannot use it any more. */
  async #logOut() {
    const token = this.#forgotten;
    if (!token) return;
    const lobby = /** @type {Line<{ logout: object }, never>} */ (/** @type {unknown} */ (this.lobby));
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
    this.hooks.roomEntered?.(joined);
    this.hooks.playersChanged?.(this.room.players);
  }

  /** @param {Refusal} refusal */
  #refused(refusal) {
    if (refusal.event === "connect" && FOR_GOOD.includes(refusal.code)) this.stop();
    this.hooks.refused?.(refusal);
  }

  /** @param {string} event @param {Player} player */
  #playersChanged(event, player) {
    const { players } = this.room;
    const now = event === "player_left" ? [] : [{ ...player, away: event === "player_dropped" }];
    const at = players.findIndex(({ id }) => id === player.id);
    this.room.players = at < 0 ? [...players, ...now] : players.toSpliced(at, 1, ...now);
    this.hooks.playersChanged?.(this.room.players);
  }

  /** The network is back, or the page. A connection that is dead would not tell for eight seconds. */
  #awake() {
    // It does not wait longer now; but a thousand pages may be told this at the same moment.
    if (this.state === "connecting") return this.#later(JITTER * Math.random(), () => this.#enterLobby());
    const line = this.state === "room" ? this.room : this.lobby;
    const { socket } = line;
    // No enum has an event of this name, so nobody's hook is called: the answer is that there is none.
    const answer = socket?.timeout(TIMEOUT).emitWithAck("welcome");
    answer?.catch(() => socket === line.socket && this.#lost(line, "no answer"));
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
    this.hooks.stateChanged?.(state);
  }

  /** @type {Watcher} */
  #watch(what, detail) {
    for (const call of this.#watchers) call(what, detail);
  }
}

/** The client libraries, where the page loads them as scripts. */
const globals = /** @type {{ io: typeof import("socket.io-client").io, Cookies: Cookies }} */ (
  /** @type {unknown} */ (globalThis)
);

/** Whether they are there; without them nothing here works in a page. */
export const librariesLoaded = () => "io" in globalThis && "Cookies" in globalThis;

/**
 * The token in a cookie, for a year. Cookies are shared by all ports of a host, hence the port in the
 * name; `?as=2` in the address makes a second player in the same browser.
 * @param {Cookies} [jar]  js-cookie @returns {TokenStorage}
 */
export function cookieStorage(jar = globals.Cookies) {
  const as = new URLSearchParams(location.search).get("as") ?? "";
  const name = ["token", location.port, as].filter(Boolean).join("-");
  const secure = location.protocol === "https:";
  return {
    get: () => jar.get(name),
    set: (token) => jar.set(name, token, { expires: 365, sameSite: "strict", secure }),
    remove: () => jar.remove(name),
  };
}

/**
 * The token in `localStorage`, or in `sessionStorage`: for frames of other sites, which get no cookies.
 * @param {Storage} [store] @returns {TokenStorage}
 */
export const webStorage = (store = localStorage) => ({
  get: () => store.getItem("token") ?? undefined,
  set: (token) => store.setItem("token", token),
  remove: () => store.removeItem("token"),
});
