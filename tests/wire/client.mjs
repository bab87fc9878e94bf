// cluster/web/cluster.js in Node, without a page: `node client.mjs URL`. Plays in a real lobby,
// through a proxy that can cut and freeze connections. Exits at the first difference.
import assert from "node:assert/strict";
import net from "node:net";
import { io } from "socket.io-client";
import { Cluster } from "../../cluster/web/cluster.js";

const lobby = new URL(process.argv[2]);
/** In ms; longer than anything takes that works. */
const TIMEOUT = 20_000;

/** A proxy to the lobby. While it is frozen it accepts connections and forwards nothing. */
const line = {
  pairs: new Set(),
  frozen: false,
  server: net.createServer((near) => {
    const far = net.connect(lobby.port, lobby.hostname);
    const pair = [near, far];
    line.pairs.add(pair);
    for (const [from, to] of [pair, [far, near]]) {
      from.on("data", (bytes) => line.frozen || to.write(bytes));
      from.on("error", () => {});
      from.on("close", () => (to.destroy(), line.pairs.delete(pair)));
    }
  }),
  listen: (port) => new Promise((done) => line.server.listen(port, "127.0.0.1", done)),
  cut: () => [...line.pairs].flat().forEach((socket) => socket.destroy()),
};
await line.listen(0);
const { port } = line.server.address();
const url = `http://127.0.0.1:${port}`;

/** A client that records its events, in order. */
function client(storage = memory()) {
  const heard = [];
  let wake = () => {};
  const hear = (what) => (...details) => {
    heard.push([what, ...details]);
    wake();
  };
  const names = ["lobbyEntered", "reroute", "roomEntered", "roomLost", "refused", "stateChanged"];
  const hooks = Object.fromEntries(names.map((name) => [name, hear(name)]));
  const cluster = new Cluster(hooks, { url, io, storage });
  /** The next event of this name and kind; drops those before it. */
  async function next(name, wanted = () => true) {
    const deadline = Date.now() + TIMEOUT;
    for (;;) {
      while (heard.length > 0) {
        const [what, ...details] = heard.shift();
        if (what === name && wanted(...details)) return details[0];
      }
      const left = deadline - Date.now();
      assert.ok(left > 0, `not seen: ${name} ${wanted}; state: ${cluster.state}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        wake = () => (clearTimeout(timer), resolve());
      });
    }
  }
  const heardSince = (name) => heard.filter(([what]) => what === name).length;
  return { cluster, hooks, storage, next, hear, heardSince, until: (state) => next("stateChanged", (s) => s === state) };
}

function memory() {
  let token;
  return { get: () => token, set: (its) => (token = its), remove: () => (token = undefined) };
}

/** Waits until the player is back in the lobby with this reason. */
const back = async (who, room, code) => {
  const { returned } = await who.next("lobbyEntered");
  assert.deepEqual([returned?.room, returned?.reason.code], [room, code]);
};

/** Waits until the player has lost the room and is in it again, by way of the lobby. */
const backIn = async (who, room) => {
  assert.equal((await who.next("roomLost")).code, "connection_lost");
  await who.next("lobbyEntered");
  assert.equal((await who.next("roomEntered")).room, room);
};

/** Asks for a room and joins it. */
async function play(who) {
  await who.cluster.lobby.request("play");
  return who.next("roomEntered");
}

const ann = client();
let states = 0;

const checks = {
  "no page is needed": async () => {
    assert.equal(typeof globalThis.window, "undefined");
    assert.equal(ann.cluster.state, "stopped");
    ann.cluster.start();
    assert.equal((await ann.next("lobbyEntered")).you, null);
  },

  "a refusal rejects with event, code and message": async () => {
    const refused = { event: "play", code: "not_registered", message: "Register first." };
    await assert.rejects(ann.cluster.lobby.request("play"), refused);
    await assert.rejects(ann.cluster.register(""), { event: "register", code: "bad_name" });
    await assert.rejects(ann.cluster.room.request("steer", { x: 0, y: 0 }), { code: "not_connected" });
  },

  "registers with a form and keeps the token in the given storage": async () => {
    const you = await ann.cluster.register({ name: "Ann" });
    assert.equal(you.name, "Ann");
    assert.deepEqual(ann.cluster.you, you);
    assert.match(await ann.storage.get(), /^[\w-]+\.[\w-]+\.[\w-]+$/);
  },

  "listeners receive the lobby's events until they are removed": async () => {
    const off = ann.cluster.lobby.on("rooms", ann.hear("rooms"));
    await ann.cluster.lobby.request("watch_rooms");
    assert.ok(Array.isArray(await ann.next("rooms")));
    off();
    await ann.cluster.lobby.request("watch_rooms");
    assert.equal(ann.heardSince("rooms"), 0);
  },

  "a reroute waits for the page": async () => {
    const { reroute } = ann.hooks;
    let go;
    ann.cluster.hooks.reroute = (to) => (reroute(to), new Promise((resolve) => (go = resolve)));
    await ann.cluster.lobby.request("play");
    const { room } = await ann.next("reroute");
    assert.deepEqual([ann.cluster.state, ann.cluster.room.id], ["rerouting", room]);
    // After another answer of the lobby it is still waiting.
    await ann.cluster.lobby.request("unwatch_rooms");
    assert.deepEqual([ann.cluster.state, ann.heardSince("roomEntered")], ["rerouting", 0]);
    ann.cluster.hooks.reroute = reroute;
    go();
    assert.equal((await ann.next("roomEntered")).room, room);
    assert.equal(ann.cluster.state, "room");
    const { id, name, profile } = ann.cluster.you;
    assert.deepEqual(ann.cluster.room.players, [{ id, name, profile, away: false }]);
  },

  "requests to the room are answered, and its events arrive": async () => {
    ann.cluster.room.on("state", ({ dots }) => ann.hear("dots")(dots.length, ++states));
    await ann.next("dots");
    assert.deepEqual(await ann.cluster.room.request("steer", { x: 1, y: 0 }), {});
    ann.cluster.room.send("steer", { x: "fast" });
    const { event, code } = await ann.next("refused");
    assert.deepEqual([event, code], ["steer", "bad_message"]);
  },

  "a player who leaves is back in the lobby": async () => {
    const { id } = ann.cluster.room;
    ann.cluster.leave();
    assert.equal((await ann.next("roomLost")).code, "left");
    await back(ann, id, "left");
    assert.deepEqual([ann.cluster.room.id, ann.cluster.room.players], [null, []]);
  },

  "a disconnected player is back in the room, which keeps their seat, and listeners survive it": async () => {
    const { room } = await play(ann);
    await ann.next("dots");
    ann.cluster.drop();
    await backIn(ann, room);
    await ann.next("dots");
  },

  "a room that dies": async () => {
    const { id } = ann.cluster.room;
    await fetch(`${lobby.origin}/dev/rooms/${id}/kill`, { method: "POST" });
    await ann.next("roomLost");
    await back(ann, id, "crashed");
  },

  "a lobby that is lost": async () => {
    ann.cluster.drop();
    await ann.until("connecting");
    assert.equal((await ann.next("lobbyEntered")).you.name, "Ann");
  },

  "a connection that is cut, in the lobby and in a room": async () => {
    line.cut();
    await ann.until("connecting");
    await ann.next("lobbyEntered");
    const { room } = await play(ann);
    line.cut();
    await backIn(ann, room);
    ann.cluster.leave();
    await back(ann, room, "left");
  },

  "a server that refuses connections for a while, or accepts them and is silent": async () => {
    line.cut();
    line.server.close();
    await ann.until("connecting");
    const tries = [];
    ann.cluster.watch((what) => what.startsWith("back to the lobby in") && ann.hear("again")(tries.push(what)));
    await ann.next("again", (times) => times === 2);
    line.frozen = true;
    await line.listen(port);
    const connections = new Promise((resolve) => line.server.once("connection", resolve));
    await connections;
    const before = tries.length;
    await ann.next("again", (times) => times > before);
    line.frozen = false;
    line.cut();
    assert.equal((await ann.next("lobbyEntered")).you.name, "Ann");
  },

  "a ticket that is refused": async () => {
    const { reroute } = ann.hooks;
    ann.cluster.hooks.reroute = (to) => {
      to.ticket = "0".repeat(32);
      ann.cluster.hooks.reroute = reroute;
    };
    await ann.cluster.lobby.request("play");
    assert.equal((await ann.next("roomLost")).code, "bad_ticket");
    // The lobby still keeps the seat.
    await ann.next("roomEntered");
    ann.cluster.leave();
    await ann.next("lobbyEntered");
  },

  "a page that cannot show the reroute follows it all the same": async () => {
    const { reroute } = ann.hooks;
    const { error } = console;
    const errors = [];
    console.error = (error) => errors.push(error.message);
    ann.cluster.hooks.reroute = async () => {
      ann.cluster.hooks.reroute = reroute;
      throw new Error("no such picture");
    };
    await ann.cluster.lobby.request("play");
    await ann.next("roomEntered");
    console.error = error;
    assert.deepEqual(errors, ["no such picture"]);
    ann.cluster.leave();
    await ann.next("lobbyEntered");
  },

  "after the network returns, a live connection stays and a dead one is replaced": async () => {
    ann.cluster.stop();
    // As browsers report it.
    const page = new EventTarget();
    globalThis.addEventListener = page.addEventListener.bind(page);
    const bob = client();
    const online = () => page.dispatchEvent(new Event("online"));
    bob.cluster.start();
    await bob.next("lobbyEntered");
    await bob.cluster.register("Bob");
    online();
    // Answers come in order: this one after the other.
    await bob.cluster.lobby.request("watch_rooms");
    assert.equal(bob.cluster.state, "lobby");
    await play(bob);
    online();
    await bob.cluster.room.request("steer", { x: 0, y: 0 });
    assert.equal(bob.cluster.state, "room");

    for (const where of ["room", "lobby"]) {
      assert.equal(bob.cluster.state, where);
      line.frozen = true;
      online();
      const started = Date.now();
      await bob.until("connecting");
      assert.ok(Date.now() - started < 8000, "it took as long as without being told");
      line.frozen = false;
      line.cut();
      // While it waits for the next attempt, this triggers it at once.
      online();
      await bob.next("lobbyEntered");
      if (where === "lobby") continue;
      await bob.next("roomEntered");
      bob.cluster.leave();
      await bob.next("lobbyEntered");
    }

    // A page that was suspended.
    page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
    await bob.until("connecting");
    await bob.next("lobbyEntered");
    delete globalThis.addEventListener;
    bob.cluster.stop();
    ann.cluster.start();
    await ann.next("lobbyEntered");
  },

  "a player's newest window wins, and the other does not reconnect by itself": async () => {
    const second = client(ann.storage);
    const became = ann.until("stopped");
    second.cluster.start();
    await second.next("lobbyEntered");
    await became;
    assert.equal((await ann.next("refused")).code, "replaced");
    ann.cluster.leave();
    ann.cluster.drop();
    assert.equal(ann.cluster.state, "stopped");
    ann.cluster.start();
    assert.equal((await ann.next("lobbyEntered")).you.name, "Ann");
    await second.until("stopped");
  },

  "a player who logs out in a room is unregistered in the lobby, and copies of the token are invalid": async () => {
    const copied = memory();
    copied.set(ann.storage.get());
    await play(ann);
    await ann.cluster.logout();
    assert.equal(ann.storage.get(), undefined);
    const { you, returned, refused } = await ann.next("lobbyEntered");
    assert.deepEqual([you, returned, refused], [null, null, null]);
    // The answer to this comes after the logout.
    await assert.rejects(ann.cluster.lobby.request("play"), { code: "not_registered" });
    const thief = client(copied);
    thief.cluster.start();
    const told = await thief.next("lobbyEntered");
    assert.deepEqual([told.you, told.refused.code, copied.get()], [null, "bad_token", undefined]);
    thief.cluster.stop();
    assert.equal(ann.cluster.state, "lobby");
  },

  "a logout in one window logs out the other, which does not reconnect": async () => {
    await ann.cluster.register("Ann");
    const second = client(ann.storage);
    const became = ann.until("stopped");
    second.cluster.start();
    assert.equal((await second.next("lobbyEntered")).you.name, "Ann");
    await became;
    await ann.cluster.logout();
    ann.cluster.start();
    assert.equal((await ann.next("lobbyEntered")).you, null);
    assert.equal((await second.next("refused")).code, "logged_out");
    assert.deepEqual([second.cluster.state, ann.cluster.state], ["stopped", "lobby"]);
    second.cluster.start();
    assert.equal((await second.next("lobbyEntered")).you, null);
    second.cluster.stop();
    ann.cluster.stop();
    assert.equal(ann.cluster.state, "stopped");
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
// Nothing is left that keeps this process running.
line.server.close();
line.cut();
