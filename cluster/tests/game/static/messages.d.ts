// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `"wave" | { chat: string }`.

export type Messages = {
  lobbyRequest: Ask,
  lobbyEvent: News,
  profile: null,
  rooms: {
    "game": {
      request: Request,
      event: Event,
      state: never,
      options: Options,
      listing: null,
    },
  },
};

/**
 * Browser to lobby.
 */
export type Ask = { "open": NewRoom } | { "create": NewRoom } | { "best": NewRoom } | { "join_by_code": { code: string, } } | { "together": { room: RoomId, with: Array<Player<null>>, } } | { "join_for": { players: Array<Player<null>>, room: RoomId, } } | { "send_there": { players: Array<Player<null>>, room: RoomId, } } | { "tell": { room: RoomId, text: string, } } | { "tell_all": { text: string, } } | { "tell_much": { room: RoomId, times: number, bytes: number, } } | "flooded" | { "lock": { room: RoomId, locked: boolean, } } | { "close": { room: RoomId, reason: string, } } | { "kick": { player: PlayerId, reason: string, } } | { "ban": { player: PlayerId, reason: string, } } | { "unban": { player: PlayerId, } } | { "queue": { kind: Kind, } } | "unqueue" | "list" | { "about": { room: RoomId, } } | { "seat_of": { player: PlayerId | null, } } | "hooks" | { "compute": { ms: number, } } | { "block": { ms: number, } } | { "square": { n: number, } } | "play_for_me" | "play_unasked" | "play_and_ban" | "panic_in_pick" | "panic" | { "panic_later": { from: string, } };

export type ChannelAbuse = "deaf" | "garbage" | "half" | "oversized" | "endless" | "flood" | "describe";

/**
 * Room to browser.
 */
export type Event = { "echoed": { n: number, } } | { "computed": { square: number | null, } } | { "part": { n: number, } } | { "over": { sum: number | null, why: string | null, } } | { "ticked": { hz: number, n: number, } } | { "told": { texts: Array<string>, } };

/**
 * What players queue for.
 */
export type Kind = "duel" | "crowd";

export type NewRoom = { capacity: number, options: Options, private: boolean, 
/**
 * With the requester as host.
 */
hosted: boolean, 
/**
 * Sent to the room before it can be ready.
 */
tell: Array<string>, };

/**
 * Lobby to browser.
 */
export type News = { "ready": { room: RoomId, } } | { "said": { room: RoomId, text: string, } } | { "exited": { room: RoomId, how: string, winner: string | null, } } | { "place": { place: number, waiting: number, } } | { "squared": { how: string, n: number, } };

export type Opening = "fine" | "never" | "spin" | "refuse" | "panic" | { "late": { ms: number, } };

export type Options = { title: string, opening: Opening, 
/**
 * How long the seat of a disconnected player is kept.
 */
grace_ms: number | null, 
/**
 * The name of a player who is not admitted.
 */
banned: string | null, 
/**
 * Count joins and leaves without logging them.
 */
quiet: boolean, 
/**
 * `on_dispose` never returns.
 */
clings: boolean, 
/**
 * The hook that panics; if it concerns a player, only for Eve.
 */
panics: string | null, 
/**
 * Start a process that runs for a minute, before opening.
 */
forks: boolean, 
/**
 * JSON text can hold such numbers, `serde_json::Value` cannot.
 */
big: number, };

/**
 * A registered player. Methods that take `impl AsRef<PlayerId>` take it, or its id.
 *
 * `Profile` is the one of the lobby. A project that has one may write
 * `pub type Player = cluster::Player<Profile>;`.
 */
export type Player<Profile = null> = { 
/**
 * The same at each connection, for as long as their token is valid.
 */
id: PlayerId, 
/**
 * Their name, as `on_register` returned it. Show it as text, never as HTML.
 */
name: string, 
/**
 * What `on_register` or `set_profile` added.
 */
profile: Profile, };

/**
 * Identifies a player in all rooms and across connections: the subject of their token. 1 to 256
 * bytes.
 */
export type PlayerId = string;

/**
 * Browser to room.
 */
export type Request = { "echo": { n: number, } } | { "log": { n: number, } } | "logged" | { "next": { n: number, } } | { "later": { n: number, } } | { "compute": { n: number, ms: number, } } | { "after": { n: number, ms: number, } } | { "tell_lobby": { text: string, } } | { "send_me_away": { reason: string, } } | { "lock_room": { locked: boolean, } } | { "send_to_room": { room: RoomId, player: PlayerId | null, } } | { "pass_on": { room: RoomId, } } | { "kick": { player: PlayerId, reason: string, } } | { "ban": { player: PlayerId, reason: string, } } | "about" | "census" | { "tick_rate": { hz: number, } } | { "empty_timeout": { ms: number | null, } } | { "bytes": { n: number, } } | { "parts": { n: number, } } | "endless" | "cancel_compute" | { "busy": { jobs: number, ms: number, } } | { "every": { ms: number, } } | "cancel_timer" | { "finish": { winner: string, 
/**
 * So many messages to the lobby come first.
 */
messages: number, } } | { "print": { text: string, } } | "fork" | "fork_away" | "fork_printer" | { "print_for_ever": { lines: boolean, } } | { "print_many": { lines: number, } } | "hog" | { "allocate": { mib: number, } } | { "burn": { ms: number, } } | "limits_of_others" | { "panic_later": { from: string, } } | { "panic_over": { text: string, } } | "spin" | { "block": { ms: number, } } | "panic" | "exit" | "abort" | "segfault" | "overflow" | "pid" | { "misbehave": ChannelAbuse };

/**
 * Identifies a room, which is one process: a number as text, such as `7`, or `h1-7` on the host
 * `h1`. A lobby never reuses one.
 */
export type RoomId = string;
