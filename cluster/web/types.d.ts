/**
 * The types of the client: what the cluster says, what the page may do. `M` and `Options` are the page's own
 * messages, from its `messages.d.ts`. Nothing of this is there when the page runs.
 */
export type Player = { id: string; name: string };
/** `away`: the connection is lost, and the room keeps the seat for a while. */
export type PlayerHere = Player & { away: boolean };
/** Why a player left a room: a code for the page's code, a message for the player. */
export type Reason = { code: string; message: string };
/** From which room a player is back, and why. */
export type Returned = { room: string; reason: Reason };
export type Refusal = { event?: string; code: string; message: string };
/** `token`: a new one, to be kept instead of the one before; `refused`: the token was not accepted. */
export type Welcome = {
  version: number; you: Player | null; token: string | null; returned: Returned | null; refused: Refusal | null;
};
export type Reroute = { to: "room"; room: string; url: string; path: string; ticket: string };
/** `host`: the id of the player for whom the lobby opened the room; `away`: the ids of those who dropped. */
export type Joined = {
  room: string; code: string | null; host: string | null; you: Player; players: Player[]; away: string[];
};
/** A room in the list of rooms. */
export type RoomInfo<Options = any> = {
  room: string; kind: string; options: Options; players: number; capacity: number; locked: boolean;
  host: string | null;
};

export type State = "connecting" | "lobby" | "rerouting" | "room" | "stopped";

/** What the page does; each is optional. What a hook throws is told on the console, and stops nothing. */
export type Hooks<M extends AnyMessages = AnyMessages> = {
  /** In the lobby: first, again, or back from a room. */
  lobbyEntered?(welcome: Welcome): void;
  /** The lobby says something. */
  lobbyEvent?(...said: Said<FromLobby<M>>): void;
  /** About to go to a room. A promise is waited for, at most 8 s. */
  reroute?(to: Reroute): void | Promise<unknown>;
  /** In the room. */
  roomEntered?(joined: Joined): void;
  /** The room says something. */
  roomEvent?(...said: Said<FromRoom<M>>): void;
  /** Somebody came, left, is away or has returned. */
  playersChanged?(players: PlayerHere[]): void;
  /** Out of the room; the way back has begun. */
  roomLost?(reason: Reason): void;
  /**
   * Something was not granted. If `state` is "stopped": another window took over or has logged out, the player
   * was kicked or banned, or the client libraries are missing; this page stays where it is until `start()`.
   */
  refused?(refusal: Refusal): void;
  /** Where the player is. */
  stateChanged?(state: State): void;
};

export type Options = {
  /** The lobby's origin. Default: the page's. */
  url?: string;
  /**
   * Where rooms may be besides the lobby's host (there on any port), such as `https://rooms.example.org`. A
   * reroute to anywhere else is not followed: `refused` with the code `bad_reroute`.
   */
  origins?: string[];
  /** Default: the global one, which is loaded if it is not there. */
  io?: typeof import("socket.io-client").io;
  /** Default: a cookie. */
  storage?: TokenStorage;
};

/**
 * Where the token is kept for the next visit. Promises will do as well. It may fail: the console is told, and
 * the page itself knows the token until it is closed.
 */
export type TokenStorage = {
  get(): string | undefined | Promise<string | undefined>;
  set(token: string): unknown;
  remove(): unknown;
};

/** As much of js-cookie as is used. */
export type Cookies = {
  get(name: string): string | undefined;
  set(name: string, value: string, more: object): unknown;
  remove(name: string): void;
};

export type Watcher = (what: string, detail: any) => void;

// What is said: yours, and the cluster's own. An enum of Rust is a union of its events here, such as
// `"play" | { join: { room: string } }`.
export type AnyMessages = {
  lobbyRequest: any; lobbyEvent: any; roomRequest: any; roomEvent: any; options: any;
};
export type ToLobby<M extends AnyMessages> = M["lobbyRequest"] | "watch_rooms" | "unwatch_rooms"
  | "play" | { play: { kind?: string } } | { join: { room: string } | { code: string } };
export type FromLobby<M extends AnyMessages> = M["lobbyEvent"] | { rooms: RoomInfo<M["options"]>[] };
export type ToRoom<M extends AnyMessages> = M["roomRequest"] | { binary: ArrayBuffer | Uint8Array };
/** In Node binary data is a Buffer. */
export type FromRoom<M extends AnyMessages> = M["roomEvent"] | { binary: ArrayBuffer };

/** The names of all events: here "play" and "join". */
export type Names<Enum> = Enum extends string ? Enum : keyof Enum & string;
/** The data of one event: of "join", `{ room: string }`. */
export type DataOf<Enum, Name extends string> =
  Enum extends Name ? {} : Enum extends Record<Name, infer Data> ? Data : never;
/** The same as an argument, which may be left out where there is no data. */
export type Args<Enum, Name extends string> =
  Enum extends Name ? [data?: {} | null] : Enum extends Record<Name, infer Data> ? [data: Data] : never;
/** All events, each as name and data. */
export type Said<Enum> =
  Enum extends string ? [event: Enum, data: {}] : { [Name in keyof Enum]: [event: Name, data: Enum[Name]] }[keyof Enum];
