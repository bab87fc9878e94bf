// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `"wave" | { chat: string }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  profile: null,
  rooms: {
    "arena": {
      request: RoomRequest,
      event: RoomEvent,
      state: never,
      options: Options,
      listing: null,
    },
  },
};

/**
 * A player in the arena.
 */
export type Dot = { id: PlayerId, name: string, 
/**
 * Theirs until they leave, from 1. The page picks their color by it.
 */
number: number, x: number, y: number, score: number, 
/**
 * Whether they have asked to play again.
 */
ready: boolean, };

export type LobbyEvent = { "news": { title: string, text: string, } };

export type LobbyRequest = { "create": { title: string, } };

export type Options = { title: string, 
/**
 * Coins that win a round.
 */
goal: number, };

/**
 * Identifies a player in all rooms and across connections: the subject of their token. 1 to 256
 * bytes.
 */
export type PlayerId = string;

/**
 * How a round has ended.
 */
export type Results = { 
/**
 * The winner first.
 */
scores: Array<Dot>, 
/**
 * Until the next round begins.
 */
seconds: number, };

export type RoomEvent = { "state": { dots: Array<Dot>, coin: [number, number], goal: number, results: Results | null, } } | { "scored": { player: PlayerId, score: number, } };

export type RoomRequest = { "steer": { x: number, y: number, } } | "play_again";
