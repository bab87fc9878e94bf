// @ts-check
/**
 * The structure of the client: read it, and rarely edit it. It knows where the player is, follows
 * reroutes, and brings him back to the lobby whatever ends a connection. `client.js` says what the
 * page does about it.
 */

/**
 * @typedef {{ id: string, name: string }} Player
 * @typedef {{ room: string, reason: string }} Returned  from which room a player is back, and why
 * @typedef {{ event?: string, code: string, message: string }} Refusal
 * @typedef {{ version: number, you: Player | null, returned: Returned | null, refused: Refusal | null }} Welcome
 * @typedef {{ to: "room", room: string, url: string, path: string, ticket: string }} Reroute
 * @typedef {{ room: string, you: Player, players: Player[] }} Joined
 * @typedef {"connecting" | "lobby" | "rerouting" | "room" | "replaced"} State
 *
 * @typedef {object} Hooks  what the page does; each is optional
 * @property {(welcome: Welcome) => void} [lobbyEntered]  in the lobby: first, again, or back from a room
 * @property {(event: string, data: any) => void} [lobbyEvent]  the lobby says something
 * @property {(to: Reroute) => void} [reroute]  about to go to a room
 * @property {(joined: Joined) => void} [roomEntered]  in the room
 * @property {(event: string, data: any) => void} [roomEvent]  the room says something
 * @property {(players: Player[]) => void} [playersChanged]  somebody came or left
 * @property {(reason: string) => void} [roomLost]  out of the room; the way back has begun
 * @property {(refusal: Refusal) => void} [refused]  something was not granted
 * @property {(state: State) => void} [stateChanged]  where the player is
 */

/** Lost connections come in crowds: each waits a random part of this, in ms, before it comes back. */
const JITTER = 500;
/** The longest wait, in ms, between two attempts to reach the lobby. */
const PATIENCE = 5000;
/** A connection or an answer that takes longer, in ms, has failed. */
const TIMEOUT = 3000;

/** Where the token is kept. Cookies are shared by all ports of a host, hence the port in the name. */
const AS = new URLSearchParams(location.search).get("as") ?? "";
const COOKIE = ["token", location.port, AS].filter(Boolean).join("-");

export class Cluster {
  /** @type {State} */ state = "connecting";
  /** @type {Player | null} */ you = null;
  /** The room that the player is in, or on his way to. @type {string | null} */ room = null;
  /** Who is in the room. @type {Player[]} */ players = [];

  #lobbySocket = /** @type {any} */ (null);
  #roomSocket = /** @type {any} */ (null);
  #attempts = 0;
  #timer = 0;
  #watchers = /** @type {((what: string, detail: any) => void)[]} */ ([]);

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
  }

  /** Connects to the lobby. From now on the player is in it, in a room, or on his way back. */
  start() {
    // A page that the browser kept asleep has lost its connections without being told.
    window.addEventListener("pageshow", (event) => event.persisted && this.#backToLobby("asleep"));
    window.addEventListener("online", () => this.state === "connecting" && this.#enterLobby());
    this.#enterLobby();
  }

  /** Becomes a player. Rejects with a {@link Refusal}. @param {string} name */
  async register(name) {
    const { token, you } = await this.request("register", { name });
    const secure = location.protocol === "https:";
    Cookies.set(COOKIE, token, { expires: 365, sameSite: "strict", secure });
    this.you = you;
    return you;
  }

  /** Forgets who this is. */
  forget() {
    Cookies.remove(COOKIE);
    this.you = null;
    this.leave();
  }

  /** Asks the lobby. Rejects with a {@link Refusal}. @param {string} event @param {object} [data] */
  request(event, data = {}) {
    return this.#ask(this.#lobbySocket, event, data);
  }

  /** Asks the room. Rejects with a {@link Refusal}. @param {string} event @param {object} [data] */
  ask(event, data = {}) {
    return this.#ask(this.#roomSocket, event, data);
  }

  /** Tells the room, and does not wait for an answer. @param {string} event @param {object} [data] */
  send(event, data = {}) {
    this.#watch(`to room: ${event}`, data);
    this.#roomSocket?.emit(event, data);
  }

  /** Leaves the room for good. */
  leave() {
    // Said to the room, which would otherwise take it for a lost connection.
    this.#roomSocket?.off().disconnect();
    this.#backToLobby("left");
  }

  /** Loses the room's connection, as a bad network would. */
  drop() {
    this.#roomSocket?.io.engine.close();
  }

  /** Calls back for everything that happens here. @param {(what: string, detail: any) => void} call */
  watch(call) {
    this.#watchers.push(call);
  }

  #enterLobby() {
    clearTimeout(this.#timer);
    this.#close("lobby");
    this.#setState("connecting");
    const socket = this.#connect("", "/socket.io", (/** @type {any} */ cb) => {
      cb({ token: Cookies.get(COOKIE) });
    });
    this.#lobbySocket = socket;
    socket.on("welcome", (/** @type {Welcome} */ welcome) => {
      this.#attempts = 0;
      this.you = welcome.you;
      if (welcome.refused) Cookies.remove(COOKIE);
      this.#setState("lobby");
      this.hooks.lobbyEntered?.(welcome);
    });
    socket.on("reroute", (/** @type {Reroute} */ to) => this.#enterRoom(to));
    socket.on("connect_error", () => this.#lobbyLost(socket));
    socket.on("disconnect", () => this.#lobbyLost(socket));
    socket.onAny((/** @type {string} */ event, /** @type {any} */ data) => {
      this.#watch(`lobby: ${event}`, data);
      if (event === "refused") this.#refused(data);
      else if (event !== "welcome" && event !== "reroute") this.hooks.lobbyEvent?.(event, data);
    });
  }

  /** @param {any} socket */
  #lobbyLost(socket) {
    // In a room, the lobby is not needed; on the way to one, the room decides.
    if (socket !== this.#lobbySocket || this.state === "room") return;
    this.#lobbySocket = null;
    if (this.state !== "rerouting") this.#backToLobby("lobby lost");
  }

  /** @param {Reroute} to */
  #enterRoom(to) {
    this.#close("room");
    this.room = to.room;
    this.#setState("rerouting");
    this.hooks.reroute?.(to);
    const socket = this.#connect(to.url, to.path, { ticket: to.ticket });
    this.#roomSocket = socket;
    socket.on("joined", (/** @type {Joined} */ joined) => {
      this.#close("lobby");
      this.players = joined.players;
      this.#setState("room");
      this.hooks.roomEntered?.(joined);
      this.hooks.playersChanged?.(this.players);
    });
    let reason = "connection lost";
    socket.on("reroute", (/** @type {any} */ next) => {
      if (next.to === "room") return this.#enterRoom(next);
      reason = next.reason;
      this.#roomLost(socket, reason);
    });
    socket.on("connect_error", (/** @type {Error} */ error) => this.#roomLost(socket, error.message));
    socket.on("disconnect", () => this.#roomLost(socket, reason));
    socket.onAny((/** @type {string} */ event, /** @type {any} */ data) => {
      this.#watch(`room: ${event}`, data);
      if (event === "refused") this.#refused(data);
      else if (event.startsWith("player_")) this.#playersChanged(event, data.player);
      else if (event !== "joined" && event !== "reroute") this.hooks.roomEvent?.(event, data);
    });
  }

  /** @param {any} socket @param {string} reason */
  #roomLost(socket, reason) {
    if (socket === this.#roomSocket) this.#backToLobby(reason);
  }

  /**
   * The one place that reconnects: out of wherever the player is, and to the lobby.
   * @param {string} why
   */
  #backToLobby(why) {
    // Another window took over, and would lose its turn if this one came back by itself.
    if (this.state === "replaced") return;
    const lost = this.room !== null;
    this.#close("room");
    this.#close("lobby");
    this.room = null;
    this.players = [];
    this.#setState("connecting");
    if (lost) this.hooks.roomLost?.(why);
    const wait = Math.min(PATIENCE, JITTER * 2 ** this.#attempts++) * Math.random();
    this.#watch(`back to the lobby in ${Math.round(wait)} ms`, { why });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#enterLobby(), wait);
  }

  /** @param {Refusal} refusal */
  #refused(refusal) {
    if (refusal.code === "replaced") this.#setState("replaced");
    this.hooks.refused?.(refusal);
  }

  /** @param {string} event @param {Player} player */
  #playersChanged(event, player) {
    if (event === "player_joined") this.players = [...this.players, player];
    if (event === "player_left") this.players = this.players.filter(({ id }) => id !== player.id);
    this.hooks.playersChanged?.(this.players);
  }

  /** @param {string} url @param {string} path @param {any} auth */
  #connect(url, path, auth) {
    this.#watch(`connecting to ${url || location.origin}${path}`, {});
    return io(url || location.origin, {
      path, auth, timeout: TIMEOUT, transports: ["websocket"], reconnection: false, forceNew: true,
    });
  }

  /** @param {any} socket @param {string} event @param {object} data */
  async #ask(socket, event, data) {
    this.#watch(`asking: ${event}`, data);
    const gone = { event, code: "not_connected", message: "There is no connection right now." };
    if (!socket?.connected) throw gone;
    const answer = await socket.timeout(10 * TIMEOUT).emitWithAck(event, data).catch(() => ({ error: gone }));
    this.#watch(`answer: ${event}`, answer);
    if (answer.error) throw answer.error;
    return answer.ok;
  }

  /**
   * Listens no more, and cuts the line: a room that keeps seats for a while keeps this one.
   * @param {"lobby" | "room"} which
   */
  #close(which) {
    const socket = which === "lobby" ? this.#lobbySocket : this.#roomSocket;
    if (which === "lobby") this.#lobbySocket = null;
    else this.#roomSocket = null;
    socket?.off().offAny();
    socket?.io.engine?.close();
  }

  /** @param {State} state */
  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.#watch(`state: ${state}`, {});
    this.hooks.stateChanged?.(state);
  }

  /** @param {string} what @param {any} detail */
  #watch(what, detail) {
    for (const call of this.#watchers) call(what, detail);
  }
}

/** Whether the client libraries are there; without them nothing here works. */
export const librariesLoaded = () => "io" in window && "Cookies" in window;
