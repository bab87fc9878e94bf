// Made of src/messages.rs by `cargo test`: what is said, as TypeScript types. An enum is a union of its
// events, such as `"play" | { join: { room: string } }`.

export type Messages = {
  lobbyRequest: LobbyRequest,
  lobbyEvent: LobbyEvent,
  roomRequest: RoomRequest,
  roomEvent: RoomEvent,
  options: Options,
};

export type LobbyEvent = { "news": { text: string, } };

export type LobbyRequest = "play";

export type Options = Record<symbol, never>;

export type RoomEvent = { "greeting": { text: string, } };

export type RoomRequest = "hello";
