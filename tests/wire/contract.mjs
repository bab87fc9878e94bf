// The wire contract, check by check: `node contract.mjs URL`. Exits at the first difference.
import assert from "node:assert/strict";
import { io } from "socket.io-client";

const url = process.argv[2];
/** In ms; longer than anything takes that works. */
const TIMEOUT = 20_000;
/** All connections, to be closed at the end. */
const sockets = [];

/** A client that records its events, in order. */
function connect(to, path, auth) {
  const socket = io(to, { path, auth, transports: ["websocket"], reconnection: false, forceNew: true });
  const heard = [];
  let wake = () => {};
  const hear = (event, data) => {
    heard.push({ event, data });
    wake();
  };
  socket.onAny(hear);
  socket.on("connect_error", (error) => hear("connect_error", error.message));
  socket.on("disconnect", (reason) => hear("disconnect", reason));
  sockets.push(socket);

  /** The next event that `wanted` accepts; drops those before it. */
  async function next(wanted) {
    const deadline = Date.now() + TIMEOUT;
    for (;;) {
      while (heard.length > 0) {
        const item = heard.shift();
        if (wanted(item.event, item.data)) return item;
      }
      const left = deadline - Date.now();
      assert.ok(left > 0, `not heard: ${wanted}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        wake = () => (clearTimeout(timer), resolve());
      });
    }
  }
  return {
    socket,
    first: () => next(() => true),
    event: async (name) => (await next((event) => event === name)).data,
    next: async (name, wanted) => (await next((event, data) => event === name && wanted(data))).data,
    ask: (event, ...data) => socket.timeout(TIMEOUT).emitWithAck(event, ...data),
    say: (event, ...data) => socket.emit(event, ...data),
    forget: () => (heard.length = 0),
    close: () => socket.disconnect(),
  };
}

const lobby = (auth = {}) => connect(url, "/socket.io", auth);
const room = (to, ticket = to.ticket) => connect(to.url || url, to.path, { ticket });
const keys = (object, ...names) => assert.deepEqual(Object.keys(object).sort(), names.sort());
const refused = (answer, code) => {
  keys(answer, "error");
  keys(answer.error, "code", "message");
  assert.equal(answer.error.code, code);
  assert.equal(typeof answer.error.message, "string");
};

const ROOM_KEYS = ["room", "kind", "options", "listing", "host", "players", "capacity", "locked"];

let token, you, ann, at, seat, bob;

const checks = {
  "welcome comes first, with exactly its keys": async () => {
    ann = lobby();
    const { event, data } = await ann.first();
    assert.equal(event, "welcome");
    keys(data, "version", "you", "token", "returned", "refused");
    assert.deepEqual(data, { version: 4, you: null, token: null, returned: null, refused: null });
  },

  "an unregistered client is refused": async () => {
    refused(await ann.ask("play"), "not_registered");
  },

  "a bad name is refused": async () => {
    refused(await ann.ask("register", { name: "  " }), "bad_name");
  },

  "register answers with token and you; the id is text": async () => {
    const answer = await ann.ask("register", { name: "Ann" });
    keys(answer, "ok");
    keys(answer.ok, "token", "you");
    ({ token, you } = answer.ok);
    keys(you, "id", "name", "profile");
    assert.equal(typeof token, "string");
    assert.equal(typeof you.id, "string");
    assert.equal(you.name, "Ann");
  },

  "a second registration is refused": async () => {
    refused(await ann.ask("register", { name: "Ann" }), "already_registered");
  },

  "the token resumes": async () => {
    ann.close();
    ann = lobby({ token });
    const { event, data } = await ann.first();
    assert.equal(event, "welcome");
    assert.deepEqual(data, { version: 4, you, token: null, returned: null, refused: null });
  },

  "a bad token is reported in welcome, and the client may register": async () => {
    const visitor = lobby({ token: `${token}x` });
    const { event, data } = await visitor.first();
    assert.equal(event, "welcome");
    keys(data, "version", "you", "token", "returned", "refused");
    assert.equal(data.you, null);
    keys(data.refused, "code", "message");
    assert.equal(data.refused.code, "bad_token");
    keys(await visitor.ask("register", { name: "Somebody" }), "ok");
    visitor.close();
  },

  "an unknown event and a malformed message are refused": async () => {
    refused(await ann.ask("no_such_event", {}), "unknown_event");
    refused(await ann.ask("join", { room: 7 }), "bad_message");
    refused(await ann.ask("join", { room: "7" }), "no_such_room");
  },

  "without an ack a refusal comes as `refused`": async () => {
    ann.say("join", { room: "7" });
    const data = await ann.event("refused");
    keys(data, "event", "code", "message");
    assert.equal(data.event, "join");
    assert.equal(data.code, "no_such_room");
  },

  "watch_rooms shows the rooms now": async () => {
    assert.deepEqual(await ann.ask("watch_rooms"), { ok: {} });
    assert.deepEqual(await ann.event("rooms"), []);
  },

  "absent data, null and {} are the same; play leads to reroute": async () => {
    // One after the other, as each newer seat in the same room replaces the previous ticket.
    const answers = [await ann.ask("play"), await ann.ask("play", null), await ann.ask("play", {})];
    for (const { ok } of answers) keys(ok, "room");
    assert.equal(new Set(answers.map(({ ok }) => ok.room)).size, 1, "the same room");
    for (const { ok } of answers) {
      at = await ann.event("reroute");
      keys(at, "to", "room", "url", "path", "ticket");
      assert.equal(at.to, "room");
      assert.equal(at.room, ok.room);
      for (const value of Object.values(at)) assert.equal(typeof value, "string");
    }
  },

  "an invalid ticket is a connect_error": async () => {
    const { event, data } = await room(at, "0".repeat(32)).first();
    assert.deepEqual([event, data], ["connect_error", "bad_ticket"]);
  },

  "the room sends joined first, then its own events": async () => {
    seat = room(at);
    const { event, data } = await seat.first();
    assert.equal(event, "joined");
    keys(data, "room", "kind", "code", "host", "you", "players", "away");
    assert.deepEqual(data, { room: at.room, kind: "arena", code: null, host: you.id, you, players: [you], away: [] });
    const { dots } = await seat.event("state");
    assert.deepEqual(dots.map(({ id }) => id), [you.id]);
  },

  "a ticket is valid once": async () => {
    const { event, data } = await room(at).first();
    assert.deepEqual([event, data], ["connect_error", "bad_ticket"]);
  },

  "watchers see who is in the room": async () => {
    bob = lobby();
    await bob.event("welcome");
    await bob.ask("register", { name: "Bob" });
    await bob.ask("watch_rooms");
    const [listed] = await bob.next("rooms", ([first]) => first?.players === 1);
    keys(listed, ...ROOM_KEYS);
    const { room, capacity, locked } = listed;
    assert.deepEqual({ room, capacity, locked }, { room: at.room, capacity: 8, locked: false });
  },

  "the room answers as the lobby does": async () => {
    assert.deepEqual(await seat.ask("steer", { x: 1, y: 0 }), { ok: {} });
    refused(await seat.ask("steer", { x: "fast" }), "bad_message");
    refused(await seat.ask("no_such_event"), "unknown_event");
    seat.say("no_such_event");
    keys(await seat.event("refused"), "event", "code", "message");
  },

  "the room sends who joins and who leaves, and why": async () => {
    await bob.ask("join", { room: at.room });
    const bobsSeat = room(await bob.event("reroute"));
    const { you: bobAsPlayer, players } = await bobsSeat.event("joined");
    assert.deepEqual(players, [you, bobAsPlayer]);
    assert.deepEqual(await seat.event("player_joined"), { player: bobAsPlayer });
    bobsSeat.socket.io.engine.close();
    assert.deepEqual(await seat.event("player_disconnected"), { player: bobAsPlayer });
    // The arena keeps a seat for ten seconds.
    assert.deepEqual(await seat.event("player_left"), { player: bobAsPlayer, reason: { code: "dropped" } });
  },

  "a player who left is told so on return, once": async () => {
    seat.close();
    for (const returned of [{ room: at.room, reason: { code: "left" } }, null]) {
      ann.close();
      ann = lobby({ token });
      assert.deepEqual(await ann.event("welcome"), { version: 4, you, token: null, returned, refused: null });
    }
  },

  "unwatch_rooms ends the list, of which watchers get the changes": async () => {
    await ann.ask("watch_rooms");
    await ann.event("rooms");
    assert.deepEqual(await ann.ask("unwatch_rooms"), { ok: {} });
    // Changes before the answer were still sent. Now Bob sees a new room, and Ann does not.
    ann.forget();
    const { ok: created } = await bob.ask("create", { title: "Bob's" });
    const change = await bob.next("rooms_changed", (change) => created.room in change);
    keys(change[created.room], ...ROOM_KEYS);
    ann.say("no_such_event");
    const { event } = await ann.first();
    assert.equal(event, "refused", "and not rooms");
  },

  "a second connection replaces the first": async () => {
    const before = ann;
    ann = lobby({ token });
    await ann.event("welcome");
    const data = await before.event("refused");
    keys(data, "event", "code", "message");
    assert.equal(data.code, "replaced");
    await before.event("disconnect");
  },

  "a killed room is reported as crashed": async () => {
    await ann.ask("play");
    at = await ann.event("reroute");
    seat = room(at);
    await seat.event("joined");
    await fetch(`${url}/dev/rooms/${at.room}/kill`, { method: "POST" });
    await seat.event("disconnect");
    ann.close();
    ann = lobby({ token });
    const { returned } = await ann.event("welcome");
    assert.deepEqual(returned, { room: at.room, reason: { code: "crashed" } });
  },

  "anyone with the token can end the login": async () => {
    const stranger = lobby();
    await stranger.event("welcome");
    refused(await stranger.ask("logout"), "bad_message");
    refused(await stranger.ask("logout", { token: `${token}x` }), "bad_token");
    assert.deepEqual(await stranger.ask("logout", { token }), { ok: {} });
    const { event, code } = await ann.event("refused");
    assert.deepEqual([event, code], ["connect", "logged_out"]);
    await ann.event("disconnect");
    ann = lobby({ token });
    const { refused: why } = await ann.event("welcome");
    assert.equal(why.code, "bad_token");
  },
};

for (const [what, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok: ${what}`);
  } catch (error) {
    console.log(`DIFFERS: ${what}\n${error.message}`);
    process.exit(1);
  }
}
for (const socket of sockets) socket.disconnect();
