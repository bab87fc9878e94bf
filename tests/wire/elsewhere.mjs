// cluster/web/cluster.js in a lobby that sends it to another host: `node elsewhere.mjs URL`. The lobby's rooms
// have ports of their own, at the host that `Host` says, which is not where this client has found the lobby.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { Cluster } from "../../cluster/web/cluster.js";

const url = process.argv[2];
assert.equal(new URL(url).hostname, "127.0.0.1");
let token, lastReroute;
let refuse, enter;
const storage = { get: () => token, set: (its) => (token = its), remove: () => (token = undefined) };
const atLocalhost = (origin, options) => io(origin, { ...options, extraHeaders: { Host: `localhost:${new URL(url).port}` } });
const hooks = { refused: (refusal) => refuse(refusal), roomEntered: (joined) => enter(joined) };
const cluster = new Cluster(hooks, { url, io: atLocalhost, storage });
cluster.watch((what, detail) => what === "lobby: reroute" && (lastReroute = detail));

/** When the only room has so many players. */
const players = (count) => new Promise((resolve) => {
  const off = cluster.lobby.on("rooms", ([room]) => room?.players === count && resolve(off()));
  cluster.lobby.request("watch_rooms");
});

const greeted = new Promise((resolve) => (cluster.hooks.lobbyEntered = resolve));
cluster.start();
await greeted;
await cluster.register("Ann");

const refused = new Promise((resolve) => (refuse = resolve));
await cluster.lobby.request("play");
const { code, message } = await refused;
assert.deepEqual([code, cluster.state], ["bad_reroute", "lobby"]);
assert.equal(new URL(lastReroute.url).hostname, "localhost");
assert.ok(message.includes(lastReroute.url), message);
// The seat is free again, and he is still in the lobby.
await players(0);
assert.equal(cluster.state, "lobby");
console.log("ok: a room at another host is not gone to, and its seat is given up");

cluster.options.origins = [lastReroute.url];
const entered = new Promise((resolve) => (enter = resolve));
await cluster.lobby.request("play");
assert.equal((await entered).room, lastReroute.room);
console.log("ok: where the options say, rooms are gone to");
cluster.stop();
