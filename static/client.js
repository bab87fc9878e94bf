// @ts-check
/**
 * The page: in the lobby, on a reroute, in a room, and on return. Edit the hooks; `cluster.js` calls
 * them, `arena.js` draws the room, `dev-panel.js` shows the logs.
 */
import { arena } from "./arena.js";
import { Cluster } from "/cluster/cluster.js";
import { devPanel, notice, show } from "/cluster/dev-panel.js";

/** @type {Cluster<import("./messages.d.ts").Messages>} */
const cluster = new Cluster({
  // HOOK: the player is in the lobby: first, again, or back from a room.
  lobbyEntered({ you, returned }) {
    show("lobby");
    notice(returned ? `${returned.reason.message} You are back in the lobby.` : "");
    if (you) chooseRoom(you);
    else enterName();
  },

  // HOOK: an event of the lobby.
  lobbyEvent(event, data) {
    if (event === "rooms") showRooms(data);
    if (event === "news") $("news").textContent = data.text;
  },

  // HOOK: before a reroute to a room. A promise delays it: a countdown, an animation.
  reroute({ room }) {
    notice(`On the way to room ${room} …`);
  },

  // HOOK: the player has joined a room.
  roomEntered({ room, code, you }) {
    show("room");
    notice(`You are in room ${code ?? room}. Steer with the arrow keys or a finger, and take the coins.`);
    arena.enter(you, (x, y) => cluster.room.send("steer", { x, y }));
  },

  // HOOK: an event of the room.
  roomEvent(event, data) {
    if (event === "state") arena.update(data.dots, data.coin);
    if (event === "scored") notice(`${arena.nameOf(data.player)} has a score of ${data.score}.`);
  },

  // HOOK: a player joined, left, disconnected or reconnected.
  playersChanged: (players) => arena.showPlayers(players),

  // HOOK: the player is out of the room, and the client returns to the lobby.
  roomLost: ({ message }) => notice(`${message} Going back to the lobby …`),

  // HOOK: a request or the connection was refused.
  refused: ({ message }) => notice(message),

  // HOOK: where the player is. Stopped: another window took over, or the player was kicked.
  stateChanged(state) {
    if (state === "stopped") show("stopped");
  },
});

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

/** Shows the message of a refusal. @param {Promise<any>} promise */
const attempt = (promise) => promise.catch(({ message }) => notice(message));

function enterName() {
  $("register").hidden = false;
  $("play").hidden = true;
  $("register").elements.name.focus();
}

/** @param {{ name: string }} you */
function chooseRoom({ name }) {
  $("greeting").textContent = `Welcome, ${name}`;
  $("register").hidden = true;
  $("play").hidden = false;
  $("join-any").focus();
  attempt(cluster.lobby.request("watch_rooms"));
}

const rows = /** @type {Map<string, any>} */ (new Map());

/** @param {import("/cluster/types.d.ts").RoomInfo<import("./messages.d.ts").Options>[]} rooms */
function showRooms(rooms) {
  // Rows are updated in place: replacing one during a click would lose the click.
  const ids = new Set(rooms.map(({ room }) => room));
  for (const [id, row] of rows) if (!ids.has(id) && rows.delete(id)) row.remove();
  for (const { room, options, players, capacity, locked } of rooms) {
    const row = rows.get(room) ?? addRow(room);
    row.firstChild.textContent = `Room ${room}: ${options.title} (${players} of ${capacity})`;
    row.firstChild.disabled = locked || players >= capacity;
  }
}

/** @param {string} room */
function addRow(room) {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.onclick = () => attempt(cluster.join(room));
  row.append(button);
  $("rooms").append(row);
  rows.set(room, row);
  return row;
}

$("register").onsubmit = (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  attempt(cluster.register($("register").elements.name.value).then(chooseRoom));
};
$("create").onsubmit = (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  attempt(cluster.lobby.request("create", { title: $("create").elements.title.value }));
};
$("join-any").onclick = () => attempt(cluster.play("arena"));
$("leave").onclick = () => cluster.leave();
$("resume").onclick = () => cluster.start();

devPanel(cluster);
cluster.start();
