// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `"play" | { chat: string }`.

export type Messages = {
  lobbyRequest: Ask,
  lobbyEvent: News,
  roomRequest: Request,
  roomEvent: Event,
  options: Plans,
};

export type Act = { "plan": Plan } | { "broadcast": JsonValue } | { "volatile": JsonValue } | { "send": [PlayerId, JsonValue] } | { "except": [PlayerId, JsonValue] } | { "bytes": Array<number> } | "sync" | { "tell_lobby": JsonValue } | { "send_to_lobby": PlayerId } | { "send_to_room": [PlayerId, RoomId] } | { "kick": PlayerId } | { "ban": PlayerId } | { "lock": boolean } | { "empty_timeout": number | null } | { "grace": number | null } | { "close": JsonValue } | "panic" | "refuse" | { "after": [number, Array<Act>] } | { "spawn": Array<Act> } | { "compute": Array<Act> } | "compute_panic" | "tick";

export type Ask = { "open": { seats: number, plans: Array<Plan> | null, } } | { "tell": { room: RoomId, told: Told | null, } } | { "close": { room: RoomId, } } | { "kick": { player: PlayerId, } } | { "is_here": { player: PlayerId, } };

export type Event = { "said": JsonValue } | { "brief": JsonValue } | { "shown": { hooks: number, } };

/**
 * How a request is answered.
 */
export type How = "done" | { "now": JsonValue } | { "later": JsonValue } | { "by_compute": JsonValue } | "later_refused" | "later_panic";

export type JsonValue = number | string | boolean | Array<JsonValue> | { [key in string]: JsonValue } | null;

export type News = { "said": { room: RoomId, what: JsonValue, } } | { "exited": { room: RoomId, exit: JsonValue, } };

/**
 * What a hook is to do when it is called next.
 */
export type Plan = { hook: string, acts: Array<Act>, };

/**
 * The plans of a room; none of them is `null`.
 */
export type Plans = Array<Plan> | null;

/**
 * Who a player is, for days: the subject of the token. Never a socket id.
 */
export type PlayerId = string;

export type Request = { "do": { acts: Array<Act>, how: How, } } | { "pick": number | null } | { "text": string } | "mark";

/**
 * One room: one process, one session of play or work.
 */
export type RoomId = string;

export type Told = { "do": Array<Act> } | { "mark": number };
