// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `"wave" | { chat: string }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  profile: null,
  rooms: {
    "game": {
      request: RoomRequest,
      event: RoomEvent,
      state: RoomState,
      options: Options,
      listing: null,
    },
  },
};

export type LobbyEvent = { "news": { text: string, } };

export type LobbyRequest = "wave";

export type Options = Record<symbol, never>;

export type RoomEvent = { "greeting": { text: string, } };

export type RoomRequest = "hello";

export type RoomState = { 
/**
 * The number of hellos in this room.
 */
hellos: number, };
