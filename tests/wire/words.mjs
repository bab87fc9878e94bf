// What a lobby or a room may say and no test of ours makes it say, said to static/cluster.js by a
// socket that is none. Ends at the first thing that differs.
import assert from "node:assert/strict";
import { Cluster } from "../../static/cluster.js";

const ann = { id: "a", name: "Ann" };
const bob = { id: "b", name: "Bob" };
const welcome = { version: 1, you: ann, token: null, returned: null, refused: null };
const ticket = (room) => ({ to: "room", room, url: "", path: `/rooms/${room}/socket.io`, ticket: `for ${room}` });
const joined = (room, code = null) => ({ room, code, host: null, you: ann, players: [ann], away: [] });

/** The lines that a client has, newest last, and what its hooks were told. */
function client() {
  const sockets = [], told = [];
  const io = (url, { path, auth }) => {
    const listeners = {};
    const socket = {
      path, auth, cut: false, emitted: [], connected: true,
      on: (event, call) => (listeners[event] = call),
      onAny: (call) => (listeners.any = call),
      off: () => (Object.keys(listeners).forEach((event) => delete listeners[event]), socket),
      offAny: () => socket,
      disconnect: () => listeners.disconnect?.(),
      emit: (...what) => socket.emitted.push(what),
      emitWithAck: (...what) => new Promise((answer, fail) => {
        socket.emitted.push(what);
        Object.assign(socket, { answer, fail });
      }),
      timeout: () => socket,
      says: (event, data) => listeners.any?.(event, data),
      lost: () => listeners.disconnect?.(),
      io: { engine: { close: () => (socket.cut = true) } },
    };
    sockets.push(socket);
    return socket;
  };
  const hook = (name) => (...details) => void told.push([name, ...details]);
  const names = ["lobbyEntered", "lobbyEvent", "reroute", "roomEntered", "roomEvent", "roomLost", "refused",
    "playersChanged"];
  const hooks = Object.fromEntries(names.map((name) => [name, hook(name)]));
  let token;
  const storage = { get: () => token, set: (its) => (token = its), remove: () => (token = undefined) };
  const cluster = new Cluster(hooks, { url: "http://lobby", io, storage });
  cluster.start();
  return { cluster, storage, sockets, told, names: () => told.map(([name]) => name), last: () => sockets.at(-1) };
}

/** Until all promises that can be kept are. */
const settled = () => new Promise(setImmediate);

/** In room 1, with what was told until then forgotten. */
async function inRoom(code) {
  const it = client();
  it.last().says("welcome", welcome);
  it.last().says("reroute", ticket("1"));
  await settled();
  it.last().says("joined", joined("1", code));
  await settled();
  it.told.length = 0;
  return it;
}

const checks = {
  "from the lobby to a room: the lobby's line is cut when the room has him": async () => {
    const { sockets, cluster } = await inRoom("K7QX");
    assert.deepEqual(sockets.map(({ path, cut }) => [path, cut]), [["/socket.io", true], ["/rooms/1/socket.io", false]]);
    assert.deepEqual(sockets[1].auth, { ticket: "for 1" });
    assert.deepEqual([cluster.room.id, cluster.room.code], ["1", "K7QX"]);
    cluster.stop();
  },

  "from room to room: the room that let him go counts as no loss, listeners stay": async () => {
    const { cluster, sockets, told, names, last } = await inRoom("K7QX");
    const heard = [];
    const off = cluster.room.on("news", (data) => heard.push(data));
    const [, before] = sockets;
    before.says("news", 1);
    before.says("reroute", ticket("2"));
    before.lost();
    before.says("news", "too late");
    assert.deepEqual([cluster.state, cluster.room.id, cluster.room.code], ["rerouting", "2", null]);
    await settled();
    last().says("joined", { ...joined("2"), players: [ann, bob] });
    last().says("news", 2);
    off();
    last().says("news", 3);
    assert.deepEqual(heard, [1, 2]);
    assert.deepEqual([cluster.state, cluster.room.id, cluster.room.players.length], ["room", "2", 2]);
    const order = ["roomEvent", "reroute", "roomEntered", "playersChanged", "roomEvent", "roomEvent"];
    assert.deepEqual(names(), order);
    assert.equal(told[2][1].room, "2");
    assert.equal(before.cut, true);
    cluster.stop();
  },

  "a newer reroute takes the place of the one that the page still shows": async () => {
    const { cluster, sockets } = client();
    const [lobby] = sockets;
    lobby.says("welcome", welcome);
    const shown = [];
    cluster.hooks.reroute = () => new Promise((resolve) => shown.push(resolve));
    lobby.says("reroute", ticket("1"));
    lobby.says("reroute", ticket("2"));
    shown.forEach((resolve) => resolve());
    await settled();
    assert.deepEqual(sockets.map(({ path }) => path), ["/socket.io", "/rooms/2/socket.io"]);
    cluster.stop();
  },

  "who leaves while a reroute is shown does not go": async () => {
    const { cluster, sockets } = client();
    sockets[0].says("welcome", welcome);
    let go;
    cluster.hooks.reroute = () => new Promise((resolve) => (go = resolve));
    sockets[0].says("reroute", ticket("1"));
    cluster.leave();
    go();
    await settled();
    assert.deepEqual([cluster.state, sockets.length, sockets[0].cut], ["connecting", 1, true]);
    cluster.stop();
  },

  "a new token takes the place of the one before, and a refused one goes": async () => {
    const { cluster, storage, last } = client();
    storage.set("old");
    last().says("welcome", welcome);
    assert.equal(storage.get(), "old");
    last().says("welcome", { ...welcome, token: "new" });
    assert.equal(storage.get(), "new");
    last().says("welcome", { ...welcome, you: null, refused: { code: "bad_token", message: "No." } });
    assert.equal(storage.get(), undefined);
    cluster.stop();
  },

  "a logout is said at every welcome until it is answered": async () => {
    const { cluster, storage, sockets, last, told } = client();
    storage.set("secret");
    last().says("welcome", welcome);
    assert.deepEqual(last().emitted, []);
    await cluster.forget();
    assert.deepEqual([storage.get(), cluster.you, sockets[0].emitted], [undefined, null, [["leave_room"]]]);
    for (const line of ["the first is lost", "the second answers", "the third hears nothing of it"]) {
      cluster.stop();
      cluster.start();
      last().says("welcome", { ...welcome, you: null });
      const said = line.startsWith("the third") ? [] : [["logout", { token: "secret" }]];
      assert.deepEqual(last().emitted, said, line);
      if (line.startsWith("the first")) last().fail(new Error("timeout"));
      else last().answer?.({ error: { code: "bad_token", message: "No." } });
      await settled();
    }
    assert.ok(told.every(([name]) => name === "lobbyEntered"), "nobody is told of the refusal");
    cluster.stop();
  },

  "replaced, kicked, banned or logged out, in the lobby or in a room: this page stays put": async () => {
    for (const code of ["replaced", "kicked", "banned", "logged_out"]) {
      for (const it of [client(), await inRoom()]) {
        const refusal = { event: "connect", code, message: "Because." };
        const before = it.last();
        const count = it.sockets.length;
        before.says("refused", refusal);
        before.lost();
        assert.deepEqual(it.told, [["refused", refusal]]);
        it.cluster.leave();
        await settled();
        assert.deepEqual([it.cluster.state, it.cluster.room.id, before.cut], ["stopped", null, true]);
        assert.equal(it.sockets.length, count);
        it.cluster.start();
        assert.equal(it.last().path, "/socket.io");
        it.cluster.stop();
      }
    }
  },

  "any other refusal is told, and nothing else happens": async () => {
    const { cluster, told, last } = await inRoom();
    const refusal = { event: "steer", code: "kicked", message: "No." };
    last().says("refused", refusal);
    assert.deepEqual([cluster.state, told], ["room", [["refused", refusal]]]);
    cluster.stop();
  },

  "sent to the lobby with a reason": async () => {
    const { cluster, told, last } = await inRoom();
    last().says("reroute", { to: "lobby", reason: "too loud" });
    assert.deepEqual([cluster.state, told], ["connecting", [["roomLost", "too loud"]]]);
    cluster.stop();
  },

  "bytes stay bytes, both ways": async () => {
    const { cluster, told, last } = await inRoom();
    const heard = [];
    cluster.room.on("binary", (bytes) => heard.push(bytes));
    const [theirs, ours] = [new Uint8Array([1, 2, 255]).buffer, new Uint8Array([3, 4])];
    last().says("binary", theirs);
    assert.equal(heard[0], theirs);
    assert.deepEqual(told, [["roomEvent", "binary", theirs]]);
    cluster.room.send("binary", ours);
    assert.equal(last().emitted[0][1], ours);
    cluster.stop();
  },

  "players come, are away, return and leave; other events may begin like these": async () => {
    const { cluster, told, last } = await inRoom();
    const [here, away] = [{ ...bob, away: false }, { ...bob, away: true }];
    const me = { ...ann, away: false };
    for (const [event, players] of [
      ["player_joined", [me, here]],
      ["player_dropped", [me, away]],
      ["player_returned", [me, here]],
      ["player_joined", [me, here]],
      ["player_left", [me]],
    ]) {
      last().says(event, { player: bob });
      assert.deepEqual(cluster.room.players, players, event);
      assert.deepEqual(told.pop(), ["playersChanged", players]);
    }
    last().says("player_scored", { points: 3 });
    assert.deepEqual(told, [["roomEvent", "player_scored", { points: 3 }]]);
    cluster.stop();
  },
};

for (const [what, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok: ${what}`);
  } catch (error) {
    console.log(`DIFFERS: ${what}\n${error.stack}`);
    process.exit(1);
  }
}
