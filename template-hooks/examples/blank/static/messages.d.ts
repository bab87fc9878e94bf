// Written by the lobby in development, from src/messages.rs. An enum is a union of its events, such
// as `"wave" | { chat: string }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  roomRequest: RoomRequest,
  roomEvent: RoomEvent,
  options: Options,
};

export type LobbyEvent = { "news": { text: string, } };

export type LobbyRequest = "wave";

export type Options = Record<symbol, never>;

export type RoomEvent = { "greeting": { text: string, } };

export type RoomRequest = "hello";
