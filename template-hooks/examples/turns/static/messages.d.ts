// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `"wave" | { chat: string }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  profile: null,
  rooms: {
    "duel": {
      request: RoomRequest,
      event: never,
      state: Game,
      options: Options,
      listing: null,
    },
  },
};

/**
 * The side, 0 or 1, whose disc is in each cell, row by row from the top.
 */
export type Board = Array<number | null>;

export type End = { 
/**
 * `None` for a draw.
 */
winner: number | null, why: Why, 
/**
 * The cells of the winner's line.
 */
cells: Array<number>, };

/**
 * Sides are 0 and 1, in the order in which the players joined.
 */
export type Game = { 
/**
 * The side that had the first turn.
 */
began: number, 
/**
 * The side whose turn it is.
 */
turn: number, 
/**
 * The cell of the last move.
 */
last: number | null, end: End | null, 
/**
 * Seconds left to wait for the opponent, for this move, or until the room closes. The
 * clock stops while a player is away.
 */
seconds: number, 
/**
 * One for each player, kept when they leave; the game begins with the second.
 */
sides: Array<Side>, board: Board, };

export type LobbyEvent = { "place": { place: number, waiting: number, } } | { "news": { lines: Array<string>, } };

export type LobbyRequest = "find_opponent" | "stop_waiting" | "invite_friend" | { "join_friend": { code: string, } };

export type Options = { 
/**
 * Seconds to wait for an opponent.
 */
patience: number, };

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

export type RoomRequest = { "play": { column: number, } } | "rematch";

export type Side = { player: Player<null>, wins: number, 
/**
 * Asks for a rematch.
 */
again: boolean, };

/**
 * Why a game has ended.
 */
export type Why = "four" | "board_full" | "left" | "away" | "too_slow";
