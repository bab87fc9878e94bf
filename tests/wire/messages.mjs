// Messages that a lobby or a room may send but does not in other tests, sent to
// cluster/web/cluster.js by a mock socket. Exits at the first difference.
import assert from "node:assert/strict";
import { Cluster } from "../../cluster/web/cluster.js";

const ann = { id: "a", name: "Ann", profile: null };
const bob = { id: "b", name: "Bob", profile: null };
const welcome = { version: 4, you: ann, token: null, returned: null, refused: null };
const ticket = (room) => ({ to: "room", room, url: "", path: `/rooms/${room}/socket.io`, ticket: `for ${room}` });
const joined = (room, code = null) => ({ room, code, host: null, you: ann, players: [ann], away: [] });

/** The sockets of a client, newest last, and the calls of its hooks. */
function client(options = {}) {
  const sockets = [], told = [];
  const io = (url, { path, auth }) => {
    const listeners = {};
    const socket = {
      url, path, auth, cut: false, emitted: [], connected: true,
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
    "playersChanged", "roomStateChanged"];
  const hooks = Object.fromEntries(names.map((name) => [name, hook(name)]));
  let token;
  const storage = { get: () => token, set: (its) => (token = its), remove: () => (token = undefined) };
  const cluster = new Cluster(hooks, { url: "http://lobby:3000", io, storage, ...options });
  cluster.start();
  return { cluster, storage, sockets, told, names: () => told.map(([name]) => name), last: () => sockets.at(-1) };
}

/** Waits until all promises that can settle have. */
const settled = () => new Promise(setImmediate);

/** A mock of the browser: its event listeners, and a way to call them. */
function browser() {
  const target = new EventTarget();
  const it = { listeners: 0, tell: (event, more) => target.dispatchEvent(Object.assign(new Event(event), more)) };
  const addEventListener = (event, call, options) => {
    it.listeners += 1;
    options?.signal?.addEventListener("abort", () => (it.listeners -= 1));
    target.addEventListener(event, call, options);
  };
  Object.assign(globalThis, { addEventListener, document: { addEventListener, hidden: false } });
  it.leave = () => ["addEventListener", "document"].forEach((name) => delete globalThis[name]);
  return it;
}

/** A client in room 1, without the calls so far. */
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
  "from the lobby to a room: the lobby's connection is closed after `joined`": async () => {
    const { sockets, cluster } = await inRoom("K7QX");
    assert.deepEqual(sockets.map(({ path, cut }) => [path, cut]), [["/socket.io", true], ["/rooms/1/socket.io", false]]);
    assert.deepEqual(sockets[1].auth, { ticket: "for 1" });
    assert.deepEqual([cluster.room.id, cluster.room.code], ["1", "K7QX"]);
    cluster.stop();
  },

  "from room to room: leaving the first is no loss, listeners stay": async () => {
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

  "the room's state is the newest one, and gone with the room": async () => {
    const { cluster, told, names, last } = await inRoom();
    assert.equal(cluster.room.state, null);
    const seen = [];
    cluster.hooks.roomStateChanged = (state) => seen.push([state, cluster.room.state]);
    for (const [version, state] of [{ hits: 1 }, { hits: 2 }].entries()) last().says("room_state", { version, state });
    assert.deepEqual(seen, [[{ hits: 1 }, { hits: 1 }], [{ hits: 2 }, { hits: 2 }]]);
    assert.deepEqual(told, [], "it is no event of the room");
    last().says("reroute", ticket("2"));
    assert.deepEqual([cluster.room.state, names()], [null, ["reroute"]]);
    await settled();
    last().says("joined", joined("2"));
    assert.equal(cluster.room.state, null);
    last().says("room_state", { version: 1, state: { hits: 0 } });
    assert.deepEqual(cluster.room.state, { hits: 0 });
    last().lost();
    assert.equal(cluster.room.state, null);
    cluster.stop();
  },

  "a player in the room has another profile: they stay away if they were; one on the way is not added": async () => {
    const { cluster, told, last } = await inRoom();
    const red = (player) => ({ player: { ...player, profile: { color: "red" } } });
    last().says("player_changed", red(bob));
    assert.deepEqual([told, cluster.room.players.length], [[], 1]);
    last().says("player_joined", { player: bob });
    last().says("player_disconnected", { player: bob });
    last().says("player_changed", red(bob));
    assert.deepEqual(cluster.room.players, [{ ...ann, away: false }, { ...red(bob).player, away: true }]);
    assert.deepEqual(told.at(-1), ["playersChanged", cluster.room.players]);
    assert.deepEqual(cluster.you, ann);
    last().says("player_changed", red(ann));
    assert.deepEqual(cluster.you, red(ann).player);
    assert.deepEqual(cluster.room.players[0], { ...red(ann).player, away: false });
    cluster.stop();
  },

  "in the lobby a new profile is an event, and its token is kept": async () => {
    const { cluster, storage, told, last } = client();
    last().says("welcome", { ...welcome, token: "old" });
    await settled();
    const you = { ...ann, profile: { color: "red" } };
    const heard = [];
    cluster.lobby.on("profile_changed", (data) => heard.push([data, cluster.you]));
    last().says("profile_changed", { you, token: "new" });
    await settled();
    assert.deepEqual(heard, [[you, you]]);
    assert.deepEqual(told.at(-1), ["lobbyEvent", "profile_changed", you]);
    assert.equal(storage.get(), "new");
    // On the way to a room it may change again.
    last().says("reroute", ticket("1"));
    await settled();
    last().says("joined", { ...joined("1"), you: ann });
    assert.deepEqual(cluster.you, ann);
    cluster.stop();
  },

  "a newer reroute replaces the one that the page still shows": async () => {
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

  "a player who leaves while a reroute is shown does not follow it": async () => {
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

  "a new token replaces the previous one, and a refused one is removed": async () => {
    const { cluster, storage, last } = client();
    storage.set("old");
    last().says("welcome", welcome);
    assert.equal(storage.get(), "old");
    await settled();
    last().says("welcome", { ...welcome, token: "new" });
    await settled();
    assert.equal(storage.get(), "new");
    last().says("welcome", { ...welcome, you: null, refused: { code: "bad_token", message: "No." } });
    await settled();
    assert.equal(storage.get(), undefined);
    cluster.stop();
  },

  "a token that stays is written again at each welcome, but not over another tab's newer one": async () => {
    const { cluster, storage, last } = client();
    let writes = 0;
    const { set } = storage;
    storage.set = (token) => (writes += 1, set(token));
    set("one");
    const no = { code: "bad_token", message: "No." };
    for (const [said, token, written] of [[{}, "one", 1], [{}, "one", 2], [{ you: null, refused: no }, undefined, 2]]) {
      await new Promise((resolve) => last().auth(resolve));
      last().says("welcome", { ...welcome, ...said });
      await settled();
      assert.deepEqual([storage.get(), writes], [token, written]);
    }
    for (const said of [{}, { token: "two" }]) {
      set("one");
      await new Promise((resolve) => last().auth(resolve));
      set("newer");
      last().says("welcome", { ...welcome, ...said });
      await settled();
      assert.deepEqual([storage.get(), writes], ["newer", 2]);
      assert.deepEqual(await new Promise((resolve) => last().auth(resolve)), { token: "newer" });
    }
    // Nobody has registered: there is nothing to write.
    set(undefined);
    const stranger = client();
    await new Promise((resolve) => stranger.last().auth(resolve));
    stranger.last().says("welcome", { ...welcome, you: null });
    await settled();
    assert.equal(stranger.storage.get(), undefined);
    stranger.cluster.stop();
    cluster.stop();
  },

  "a storage that is full when the token is renewed: the new one is used, and the player is in the lobby": async () => {
    const { error } = console;
    const errors = [];
    console.error = ({ message }) => errors.push(message);
    for (const fail of [() => { throw new Error("full"); }, async () => { throw new Error("full"); }]) {
      const storage = { get: () => "old", set: fail, remove: () => {} };
      const { cluster, names, last } = client({ storage });
      const shown = () => new Promise((resolve) => last().auth(resolve));
      assert.deepEqual(await shown(), { token: "old" });
      last().says("welcome", { ...welcome, token: "new" });
      assert.deepEqual([cluster.state, names()], ["lobby", ["lobbyEntered"]]);
      await settled();
      cluster.stop();
      cluster.start();
      assert.deepEqual(await shown(), { token: "new" });
      cluster.stop();
    }
    console.error = error;
    assert.deepEqual(errors, ["full", "full"]);
  },

  "another tab has a newer token: it is used, and this page's own once that tab has removed it": async () => {
    const { cluster, storage, last } = client();
    const shown = () => new Promise((resolve) => last().auth(resolve));
    storage.set("one");
    assert.deepEqual(await shown(), { token: "one" });
    storage.set("two");
    assert.deepEqual(await shown(), { token: "two" });
    storage.remove();
    assert.deepEqual(await shown(), { token: "two" });
    last().says("refused", { event: "connect", code: "logged_out", message: "No." });
    cluster.start();
    assert.deepEqual(await shown(), { token: undefined });
    cluster.stop();
  },

  "a page that leaves in its reroute hook comes back": async () => {
    const { cluster, sockets } = client();
    sockets[0].says("welcome", welcome);
    cluster.hooks.stateChanged = (state) => state === "rerouting" && cluster.leave();
    sockets[0].says("reroute", ticket("1"));
    const deadline = Date.now() + 7000;
    while (sockets.length < 2 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(sockets.map(({ path }) => path), ["/socket.io", "/socket.io"]);
    cluster.stop();
  },

  "a listener that adds another is not called forever": async () => {
    const { cluster, last } = await inRoom();
    let calls = 0;
    const again = () => {
      assert.ok(++calls < 100, "it never ends");
      cluster.room.on("news", () => again());
      cluster.watch(() => again());
    };
    cluster.room.on("news", again);
    last().says("news", 1);
    assert.equal(calls, 1);
    cluster.stop();
  },

  "a logout is sent at every welcome until it is answered": async () => {
    const { cluster, storage, sockets, last, told } = client();
    storage.set("secret");
    last().says("welcome", welcome);
    assert.deepEqual(last().emitted, []);
    await cluster.logout();
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

  "replaced, kicked, banned or logged out, in the lobby or in a room: this page does not reconnect": async () => {
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

  "any other refusal calls the hook, and nothing else happens": async () => {
    const { cluster, told, last } = await inRoom();
    const refusal = { event: "steer", code: "kicked", message: "No." };
    last().says("refused", refusal);
    assert.deepEqual([cluster.state, told], ["room", [["refused", refusal]]]);
    cluster.stop();
  },

  "sent to the lobby with a reason": async () => {
    const { cluster, told, last } = await inRoom();
    last().says("reroute", { to: "lobby", reason: { code: "sent", message: "Too loud." } });
    assert.deepEqual([cluster.state, told], ["connecting", [["roomLost", { code: "sent", message: "Too loud." }]]]);
    cluster.stop();
  },

  "a reason without a message gets a sentence; so does one that nobody knows, or none": async () => {
    for (const [reason, code, message] of [
      [{ code: "crashed" }, "crashed", "The room crashed."],
      [{ code: "never_heard_of" }, "never_heard_of", "The connection to the room was lost."],
      [undefined, "connection_lost", "The connection to the room was lost."],
      [null, "connection_lost", "The connection to the room was lost."],
    ]) {
      const { cluster, told, last } = await inRoom();
      last().says("reroute", { to: "lobby", reason });
      assert.deepEqual(told, [["roomLost", { code, message }]]);
      cluster.stop();
    }
  },

  "a lobby below a path": async () => {
    for (const url of ["https://lobby/a/game", "https://lobby/a/game/"]) {
      const { sockets, cluster } = client({ url });
      assert.deepEqual([sockets[0].url, sockets[0].path], ["https://lobby", "/a/game/socket.io"]);
      cluster.stop();
    }
  },

  "a reroute leads to the lobby's host, or where the options say": async () => {
    const origins = ["https://rooms.example.org:8443"];
    const here = "/rooms/1/socket.io";
    for (const [lobby, url, path, follows] of [
      ["http://lobby:3000", "", here, true],
      ["http://lobby:3000", "http://lobby:4000", here, true],
      ["http://lobby:3000", "https://lobby:4000", here, true],
      ["http://lobby:3000", "HTTP://LOBBY", here, true],
      ["https://lobby", "https://lobby:4000", here, true],
      ["http://[::1]:3000", "http://[::1]:4000", here, true],
      ["http://lobby:3000", "https://rooms.example.org:8443", here, true],
      ["https://lobby/game", "", `/game${here}`, true],
      ["https://lobby/game/", "https://lobby:4000", `/game${here}`, true],
      ["https://lobby", "http://lobby:4000", here, false],
      ["http://lobby:3000", "https://rooms.example.org", here, false],
      ["http://lobby:3000", "http://rooms.example.org:8443", here, false],
      ["http://lobby:3000", "https://evil.example", here, false],
      ["http://lobby:3000", "http://lobby.evil.example", here, false],
      ["http://lobby:3000", "http://lobby@evil.example", here, false],
      ["http://lobby:3000", "http://127.0.0.1:4000", here, false],
      ["http://lobby:3000", "//evil.example", here, false],
      ["http://lobby:3000", "javascript:alert(1)", here, false],
      ["http://lobby:3000", "file:///rooms/1", here, false],
      ["http://lobby:3000", "http://", here, false],
      ["http://lobby:3000", 7, here, false],
      ["http://lobby:3000", "", "/socket.io", false],
      ["http://lobby:3000", "", "@evil.example/rooms/1", false],
      ["http://lobby:3000", "", "//evil.example/rooms/1", false],
      ["http://lobby:3000", "", null, false],
      ["http://lobby:3000", "", `/game${here}`, false],
      ["https://lobby/game", "", here, false],
      ["https://lobby/game", "", `/other${here}`, false],
    ]) {
      const { cluster, sockets, told } = client({ url: lobby, origins });
      sockets[0].says("welcome", welcome);
      sockets[0].says("reroute", { ...ticket("1"), url, path });
      await settled();
      assert.equal(sockets.length, follows ? 2 : 1, `${lobby} ${url} ${path}`);
      if (follows) assert.deepEqual([sockets[1].url, sockets[1].path], [url || new URL(lobby).origin, path]);
      else {
        // The player stays in the lobby and gives up the seat.
        assert.deepEqual([cluster.state, sockets[0].emitted, sockets[0].cut], ["lobby", [["leave_room"]], false]);
        const [[, { event, code, message }]] = told.filter(([name]) => name === "refused");
        assert.deepEqual([event, code], ["reroute", "bad_reroute"]);
        assert.ok(message.includes(`${url}${path}`), message);
      }
      cluster.stop();
    }
  },

  "a host that the lobby did not name in `welcome` is new: the lobby relays": async () => {
    const { cluster, sockets, last } = client();
    last().says("welcome", { ...welcome, origins: ["https://h1.example.org"] });
    last().says("reroute", { ...ticket("h2-1"), url: "https://h2.example.org" });
    await settled();
    assert.deepEqual([sockets.length, last().url, last().path], [2, "http://lobby:3000", "/rooms/h2-1/socket.io"]);
    cluster.stop();
  },

  "a room that reroutes a player to an invalid URL: they are in the lobby, and follow no second such reroute": async () => {
    const { cluster, sockets, told, last } = await inRoom();
    const reroute = { ...ticket("2"), url: "https://evil.example" };
    last().says("reroute", reroute);
    assert.deepEqual([cluster.state, last().cut], ["connecting", true]);
    assert.deepEqual(told.map(([name, data]) => [name, data.code ?? data]), [["roomLost", "bad_reroute"], ["refused", "bad_reroute"]]);
    while (sockets.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
    last().says("welcome", welcome);
    last().says("reroute", reroute);
    await settled();
    assert.deepEqual([cluster.state, sockets.length, last().emitted], ["lobby", 3, [["leave_room"]]]);
    cluster.stop();
  },

  "a stopped client has no listeners in the page, and adds them again when started": async () => {
    const page = browser();
    const { cluster, sockets } = client();
    for (let round = 1; round <= 3; round++) {
      assert.equal(page.listeners, 4);
      cluster.stop();
      assert.equal(page.listeners, 0);
      page.tell("pageshow", { persisted: true });
      page.tell("online");
      assert.deepEqual([cluster.state, sockets.length], ["stopped", round]);
      cluster.start();
      cluster.start();
      assert.equal(sockets.length, round + 1);
    }
    sockets.at(-1).says("welcome", welcome);
    page.tell("pageshow", { persisted: true });
    assert.equal(cluster.state, "connecting");
    cluster.stop();
    page.leave();
  },

  "pages reconnect with jitter when the network returns": async () => {
    const { setTimeout: real } = globalThis;
    const { random } = Math;
    const page = browser();
    const { cluster, sockets } = client();
    const timers = [];
    try {
      globalThis.setTimeout = (call, ms) => timers.push({ call, ms });
      for (const part of [0.25, 0.75]) {
        Math.random = () => part;
        const count = sockets.length;
        // An attempt that has begun goes on: the lobby may have answered it.
        page.tell("online");
        assert.deepEqual([sockets.at(-1).cut, sockets.length], [false, count]);
        sockets.at(-1).lost();
        for (const event of ["online", "visibilitychange"]) {
          page.tell(event);
          assert.deepEqual([sockets.length, timers.at(-1).ms], [count, 500 * part]);
        }
        timers.at(-1).call();
        assert.equal(sockets.length, count + 1);
      }
    } finally {
      globalThis.setTimeout = real;
      Math.random = random;
    }
    cluster.stop();
    page.leave();
  },

  "bytes stay bytes in both directions": async () => {
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

  "lists are whole for the page: what has changed is applied to them": async () => {
    const { cluster, told, last } = client();
    last().says("welcome", welcome);
    const heard = [];
    cluster.lobby.on("rooms", (rooms) => heard.push(rooms));
    const [one, two, full] = [{ room: "1", players: 0 }, { room: "2", players: 0 }, { room: "1", players: 8 }];
    const before = [one];
    last().says("rooms", before);
    last().says("rooms_changed", { 2: two });
    last().says("players", [{ id: "a", room: null }]);
    last().says("rooms_changed", { 1: full, 7: null });
    last().says("players_changed", { a: null, b: { id: "b", room: "1" } });
    last().says("rooms_changed", { 1: null });
    last().says("rooms", []);
    last().says("rooms_changed", { 2: two });
    const lists = [[one], [one, two], [full, two], [two], [], [two]];
    assert.deepEqual(heard, lists);
    assert.deepEqual(before, [one], "the page may keep a list");
    const hooks = told.filter(([name]) => name === "lobbyEvent");
    assert.deepEqual(hooks.filter(([, event]) => event === "rooms").map(([, , list]) => list), lists);
    const players = hooks.filter(([, event]) => event === "players").map(([, , list]) => list);
    assert.deepEqual(players, [[{ id: "a", room: null }], [{ id: "b", room: "1" }]]);
    assert.equal(hooks.length, lists.length + 2, "no other event");
    cluster.stop();
  },

  "players join, disconnect, return and leave; other events may begin like these": async () => {
    const { cluster, told, last } = await inRoom();
    const [here, away] = [{ ...bob, away: false }, { ...bob, away: true }];
    const me = { ...ann, away: false };
    for (const [event, players] of [
      ["player_joined", [me, here]],
      ["player_disconnected", [me, away]],
      ["player_reconnected", [me, here]],
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

  "several changes of players that come as one event call the hook once": async () => {
    const { cluster, told, last } = await inRoom();
    last().says("announcements", [
      ["player_joined", { player: bob }],
      ["player_disconnected", { player: bob }],
    ]);
    const players = [{ ...ann, away: false }, { ...bob, away: true }];
    assert.deepEqual(told, [["playersChanged", players]]);
    last().says("announcements", [["player_changed", { player: { ...bob, id: "on the way" } }]]);
    assert.equal(told.length, 1, "nothing has changed");
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
