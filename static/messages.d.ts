// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `"wave" | { chat: string }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  roomRequest: RoomRequest,
  roomEvent: RoomEvent,
  options: Options,
};

export type Dot = { id: PlayerId, x: number, y: number, score: number, };

export type LobbyEvent = { "news": { text: string, } };

export type LobbyRequest = { "create": { title: string, } };

export type Options = { title: string, 
/**
 * Coins that win the game.
 */
goal: number, };

/**
 * Identifies a player in all rooms and across connections: the subject of their token.
 */
export type PlayerId = string;

export type RoomEvent = { "state": { dots: Array<Dot>, coin: [number, number], } } | { "scored": { player: PlayerId, score: number, } };

export type RoomRequest = { "steer": { x: number, y: number, } };
