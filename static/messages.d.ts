// Made of src/messages.rs by `cargo test`: what is said, as TypeScript types. An enum is a union of its
// events, such as `"play" | { join: { room: string } }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  roomRequest: RoomRequest,
  roomEvent: RoomEvent,
  options: Options,
};

export type Dot = { id: PlayerId, x: number, y: number, score: number, };

export type LobbyEvent = { "news": { text: string, } };

export type LobbyRequest = "play" | { "create": { title: string, } } | { "join": { room: RoomId, } };

export type Options = { title: string, 
/**
 * Who has so many coins wins.
 */
goal: number, };

/**
 * Who a player is, for days: the subject of the token. Never a socket id.
 */
export type PlayerId = string;

export type RoomEvent = { "state": { dots: Array<Dot>, coin: [number, number], } } | { "scored": { player: PlayerId, score: number, } };

/**
 * One room: one process, one session of play or work.
 */
export type RoomId = string;

export type RoomRequest = { "steer": { x: number, y: number, } };
