// cluster/web/cluster.js where the code or the storage of its page throws, rejects, or never answers: `node
// throwing.mjs URL`. Each player gets into a room of a real lobby and back, logs out, and is somebody else
// afterwards; the console is told. All at once. Ends at the first thing that differs.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { Cluster, webStorage } from "../../cluster/web/cluster.js";

const url = process.argv[2];
/** Generous: only what is broken takes so long, in ms. */
const PATIENCE = 40_000;

const shown = [];
console.error = (error) => shown.push(error.message);
/** Nothing is left to the browser, which would just end what was under way. */
const missed = [];
process.on("uncaughtException", (error) => missed.push(error));
process.on("unhandledRejection", (error) => missed.push(error));

/** What a call of the page's may come to; all but the last are errors. */
const faults = (message) => ({
  throws: () => { throw new Error(message); },
  rejects: async () => { throw new Error(message); },
  "never settles": () => new Promise(() => {}),
});
const ERRORS = ["throws", "rejects"];

function memory() {
  let token;
  return { get: () => token, set: (its) => void (token = its), remove: () => void (token = undefined) };
}

/** The next thing of this name that a watcher is told, at a moment when it is wanted. */
const next = (cluster, name, wanted = () => true) => new Promise((resolve, reject) => {
  const late = () => reject(new Error(`not seen: ${name}; state: ${cluster.state}`));
  const timer = setTimeout(late, PATIENCE);
  cluster.watch((what, detail) => what === name && wanted() && (clearTimeout(timer), resolve(detail)));
});

/** Does this, and is told what comes of it. */
async function after(cluster, name, act) {
  const told = next(cluster, name);
  await act();
  return told;
}

const player = (hooks = {}, options = {}) => new Cluster(hooks, { io, url, storage: memory(), ...options });

/** Into a room and back, as the same player. */
async function playsAndReturns(cluster) {
  const { id } = cluster.you;
  await cluster.lobby.request("watch_rooms");
  const { room } = await after(cluster, "room: joined", () => cluster.lobby.request("play"));
  assert.equal(cluster.state, "room");
  await next(cluster, "room: state");
  await after(cluster, "room: refused", () => cluster.room.send("steer", { x: "fast" }));
  const { you, returned } = await after(cluster, "lobby: welcome", () => cluster.leave());
  assert.deepEqual([you?.id, returned], [id, { room, reason: { code: "left", message: "You left the room." } }]);
  assert.equal(cluster.state, "lobby");
}

/** All that a player does. */
async function wholeStory(cluster) {
  await after(cluster, "state: lobby", () => cluster.start());
  const { id } = await cluster.register("Ann");
  assert.equal(cluster.you.id, id);
  await playsAndReturns(cluster);
  const stranger = await after(cluster, "lobby: welcome", () => cluster.logout());
  assert.deepEqual([stranger.you, cluster.state], [null, "lobby"]);
  await cluster.register("Bob");
  assert.notEqual(cluster.you.id, id);
  await playsAndReturns(cluster);
  cluster.stop();
  assert.equal(cluster.state, "stopped");
}

const checks = {};

/** One for each way in which a call may fail. `prepare` puts it where it is made. */
function whoever(what, prepare) {
  for (const how of Object.keys(faults())) {
    const name = `${what} ${how}`;
    checks[name] = async () => {
      let calls = 0;
      const fail = faults(name)[how];
      await wholeStory(prepare(() => (calls++, fail())));
      assert.ok(calls > 0, "it was not called");
      if (ERRORS.includes(how)) assert.ok(shown.includes(name), "the console was not told");
    };
  }
}

for (const hook of ["lobbyEntered", "lobbyEvent", "reroute", "roomEntered", "roomEvent", "playersChanged", "roomLost", "refused",
  "stateChanged"]) whoever(`the hook ${hook}`, (fail) => player({ [hook]: fail }));

whoever("a watcher", (fail) => {
  const cluster = player();
  cluster.watch(fail);
  return cluster;
});

whoever("a listener of the lobby and of the room", (fail) => {
  const cluster = player();
  cluster.lobby.on("rooms", fail);
  cluster.room.on("state", fail);
  return cluster;
});

for (const part of ["get", "set", "remove"]) {
  whoever(`the storage's ${part}`, (fail) => player({}, { storage: { ...memory(), [part]: fail } }));
}

for (const value of [null, 7, "", {}, ["a", "b"]]) {
  checks[`a storage that answers ${JSON.stringify(value)}`] = async () => {
    const answer = () => value;
    await wholeStory(player({}, { storage: { get: answer, set: answer, remove: answer } }));
    await wholeStory(player({}, { storage: { get: async () => value, set: async () => value, remove: async () => value } }));
  };
}

checks["a storage that keeps nothing, or only the first token"] = async () => {
  await wholeStory(player({}, { storage: { ...memory(), set: () => {} } }));
  const storage = memory();
  const keep = storage.set;
  storage.set = (token) => storage.get() ?? keep(token);
  storage.remove = () => {};
  await wholeStory(player({}, { storage }));
};

checks["no storage at all"] = async () => {
  // As in a browser that blocks it: to look at it throws.
  Object.defineProperty(globalThis, "localStorage", {
    configurable: true, get: () => { throw new Error("localStorage is blocked"); },
  });
  await wholeStory(player({}, { storage: webStorage() }));
  assert.ok(shown.includes("localStorage is blocked"), "the console was not told");
};

checks["the client library throws once on the way to the lobby, and once on the way to a room"] = async () => {
  const tried = new Set();
  const laterOnly = (origin, options) => {
    if (tried.has(options.path)) return io(origin, options);
    tried.add(options.path);
    throw new Error("no socket yet");
  };
  await wholeStory(player({}, { io: laterOnly }));
  assert.ok(shown.filter((message) => message === "no socket yet").length >= 2, "the console was not told");
};

/** Fails if it takes so long that something must stand still. */
const inTime = (promise) => Promise.race([promise, new Promise((_, reject) =>
  setTimeout(() => reject(new Error("it stands still")), 2 * PATIENCE))]);

const results = await Promise.all(Object.entries(checks).map(async ([what, check]) => {
  try {
    await inTime(check());
    console.log(`ok: ${what}`);
    return true;
  } catch (error) {
    console.log(`DIFFERS: ${what}\n${error.stack}`);
    return false;
  }
}));
for (const error of missed) console.log(`DIFFERS: nobody has caught this\n${error.stack}`);
process.exit(results.every(Boolean) && missed.length === 0 ? 0 : 1);
