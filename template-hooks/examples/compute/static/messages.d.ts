// Made of src/messages.rs by `cargo test`: what is said, as TypeScript types. An enum is a union of its
// events, such as `"play" | { join: { room: string } }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  roomRequest: RoomRequest,
  roomEvent: RoomEvent,
  options: Options,
};

export type How = "complete" | "cancelled" | "failed";

export type LobbyEvent = { "begun": View } | { "row": { row: number, shades: string, room: RoomId, } } | { "ended": { how: How, } };

export type LobbyRequest = { "render": View } | "cancel";

export type Options = { 
/**
 * A worker that was given nothing for so long goes.
 */
patience_ms: number, };

export type RoomEvent = never;

/**
 * One room: one process, one session of play or work.
 */
export type RoomId = string;

export type RoomRequest = never;

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
 * A point that has not escaped after so many steps counts as one that never does.
 */
depth: number, };
