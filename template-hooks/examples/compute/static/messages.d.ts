// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `"wave" | { chat: string }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  profile: null,
  rooms: {
    "worker": {
      request: never,
      event: never,
      state: never,
      options: Options,
      listing: null,
    },
  },
};

export type How = "complete" | "cancelled" | "failed";

export type LobbyEvent = { "begun": View } | { "row": { row: number, shades: string, room: RoomId, } } | { "ended": { how: How, } };

export type LobbyRequest = { "render": View } | "cancel";

export type Options = { 
/**
 * An idle worker ends after this time.
 */
patience_ms: number, };

/**
 * Identifies a room, which is one process: a number as text, such as `7`, or `h1-7` on the host
 * `h1`. A lobby never reuses one.
 */
export type RoomId = string;

/**
 * A picture: its part of the plane, its size in pixels, and the most steps for a point.
 */
export type View = { 
/**
 * The centre.
 */
x: number, y: number, 
/**
 * The width in the plane.
 */
across: number, columns: number, rows: number, 
/**
 * A point that has not escaped after this many steps counts as part of the set.
 */
depth: number, };
