// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `"wave" | { chat: string }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  roomRequest: never,
  roomEvent: never,
  options: Options,
};

export type How = "complete" | "cancelled" | "failed";

export type LobbyEvent = { "begun": View } | { "row": { row: number, shades: string, room: RoomId, } } | { "ended": { how: How, } };

export type LobbyRequest = { "render": View } | "cancel";

export type Options = { 
/**
 * A worker that has no work for this long ends.
 */
patience_ms: number, };

/**
 * Identifies a room, which is one process.
 */
export type RoomId = string;

/**
 * A picture: which part of the plane, in how many pixels, and how much work each is at most.
 */
export type View = { 
/**
 * Its middle.
 */
x: number, y: number, 
/**
 * Its width in the plane.
 */
across: number, columns: number, rows: number, 
/**
 * A point that has not escaped after this many steps counts as one that never does.
 */
depth: number, };
