/** The types of the client, for editors and `npm run check`. `M` is `Messages` of `messages.d.ts`. */
export type Player<M extends AnyMessages = AnyMessages> = { id: string; name: string; profile: M["profile"] };
/** `away`: the connection is lost, and the room keeps the seat for a while. */
export type PlayerHere<M extends AnyMessages = AnyMessages> = Player<M> & { away: boolean };
/** Where a player is; the room's number only if it is public. */
export type PlayerPlace<M extends AnyMessages = AnyMessages> =
  Player<M> & { place: "lobby" | "on_the_way" | "room" | "away"; room: string | null };
/** Why a player left a room: a code for the page's code, a message for the player. */
export type Reason = { code: string; message: string };
/** From which room a player is back, and why. */
export type Returned = { room: string; reason: Reason };
export type Refusal = { event?: string; code: string; message: string };
/** `token` replaces the stored one; `refused`: the token was not accepted. */
export type Welcome<M extends AnyMessages = AnyMessages> = {
  version: number; you: Player<M> | null; token: string | null;
  returned: Returned | null; refused: Refusal | null; origins?: string[];
};
export type Reroute = { to: "room"; room: string; url: string; path: string; ticket: string };
/** `host`: the id of the player who asked for the room; `away`: the ids of disconnected players. */
export type Joined<M extends AnyMessages = AnyMessages> = {
  room: string; kind: string; code: string | null; host: string | null;
  you: Player<M>; players: Player<M>[]; away: string[];
};
/** A room in the list of rooms. `kind` tells which options and listing it has. */
export type RoomInfo<M extends AnyMessages = AnyMessages> = { [Kind in keyof M["rooms"]]: {
  room: string; kind: Kind; options: M["rooms"][Kind]["options"]; listing: M["rooms"][Kind]["listing"];
  players: number; capacity: number; locked: boolean; host: string | null;
} }[keyof M["rooms"]];

export type State = "connecting" | "lobby" | "rerouting" | "room" | "stopped";

/** The page's hooks, all optional. What a hook throws is logged to the console. */
export type Hooks<M extends AnyMessages = AnyMessages> = {
  /** In the lobby: for the first time, after a reconnect, or back from a room. */
  lobbyEntered?(welcome: Welcome<M>): void;
  /** An event of the lobby, or `profile_changed`: `cluster.you` is the player with the new profile. */
  lobbyEvent?(...event: EventArgs<FromLobby<M>>): void;
  /** Before a reroute to a room. A promise delays it, by 8 s at most. */
  reroute?(to: Reroute): void | Promise<unknown>;
  /** The player has joined the room. */
  roomEntered?(joined: Joined<M>): void;
  /** An event of the room. */
  roomEvent?(...event: EventArgs<FromRoom<M>>): void;
  /** A player joined, left, disconnected, reconnected, or has another profile. */
  playersChanged?(players: PlayerHere<M>[]): void;
  /** The room's state, `cluster.room.state`, has changed; also called after each `roomEntered`. */
  roomStateChanged?(state: StateOf<M>): void;
  /** The player is out of the room, and the client reconnects to the lobby. */
  roomLost?(reason: Reason): void;
  /**
   * A request or the connection was refused. If `state` is "stopped", another window took over or
   * logged out, the player was kicked or banned, or the client libraries are missing; the page does
   * not reconnect until `start()`.
   */
  refused?(refusal: Refusal): void;
  /** `state` has changed. */
  stateChanged?(state: State): void;
};

export type Options = {
  /** The lobby's URL, with its path. Default: the page's origin, and the path that serves cluster.js. */
  url?: string;
  /**
   * Origins of rooms besides the lobby's host (any port), such as `https://rooms.example.org`. A
   * reroute to any other is refused with the code `bad_reroute`.
   */
  origins?: string[];
  /** Socket.IO. Default: the global one, which is loaded if it is missing. */
  io?: typeof import("socket.io-client").io;
  /** Where the token is stored. Default: a cookie. */
  storage?: TokenStorage;
};

/**
 * Stores the token for the next visit; may be asynchronous. What it throws is logged to the console,
 * and the page keeps the token in memory.
 */
export type TokenStorage = {
  get(): string | undefined | Promise<string | undefined>;
  set(token: string): unknown;
  remove(): unknown;
};

/** The part of js-cookie that is used. */
export type Cookies = {
  get(name: string): string | undefined;
  set(name: string, value: string, more: object): unknown;
  remove(name: string, more: object): unknown;
};

export type Watcher = (what: string, detail: any) => void;

// Messages: the project's and the cluster's. A Rust enum is a union of its events, such as
// `"play" | { join: { room: string } }`.
export type AnyMessages = {
  lobbyRequest: any; lobbyEvent: any; profile: any;
  rooms: Record<string, { request: any; event: any; state: any; options: any; listing: any }>;
};
/** The names of the kinds of rooms. */
export type KindOf<M extends AnyMessages> = keyof M["rooms"] & string;
/** What rooms of all kinds have in common: with several kinds, a union. */
type RoomOf<M extends AnyMessages> = M["rooms"][keyof M["rooms"]];
export type StateOf<M extends AnyMessages> = RoomOf<M>["state"];
export type ToLobby<M extends AnyMessages> = M["lobbyRequest"]
  | "watch_rooms" | "unwatch_rooms" | "watch_players" | "unwatch_players"
  | "play" | { play: { kind?: KindOf<M> } } | { join: { room: string } | { code: string } };
export type FromLobby<M extends AnyMessages> =
  M["lobbyEvent"] | { rooms: RoomInfo<M>[] } | { players: PlayerPlace<M>[] } | { profile_changed: Player<M> }
  | { closing: { seconds: number } };
export type ToRoom<M extends AnyMessages> = RoomOf<M>["request"] | { binary: ArrayBuffer | Uint8Array };
/** In Node binary data is a Buffer. */
export type FromRoom<M extends AnyMessages> = RoomOf<M>["event"] | { binary: ArrayBuffer };

/** The names of all events: in this example "play" and "join". */
export type Names<Enum> = Enum extends string ? Enum : keyof Enum & string;
/** The data of one event: of "join", `{ room: string }`. */
export type DataOf<Enum, Name extends string> =
  Enum extends Name ? {} : Enum extends Record<Name, infer Data> ? Data : never;
/** The data as an argument, optional if the event has none. */
export type Args<Enum, Name extends string> =
  Enum extends Name ? [data?: {} | null] : Enum extends Record<Name, infer Data> ? [data: Data] : never;
/** All events, each as name and data. */
export type EventArgs<Enum> =
  Enum extends string ? [event: Enum, data: {}] : { [Name in keyof Enum]: [event: Name, data: Enum[Name]] }[keyof Enum];
