// @ts-check
/**
 * The page: in the lobby, on a reroute, in a room, and on return. Edit the hooks, which `cluster.js`
 * calls. `arena.js` shows the room, `rooms.js` the list of rooms.
 */
import { arena } from "./arena.js";
import { rooms } from "./rooms.js";
import { Cluster } from "./cluster/cluster.js";

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
    if (event === "rooms") rooms.show(data, (room) => attempt(cluster.join(room)));
    if (event === "news") showNews(data);
    if (event === "closing") notice(`The server closes in ${data.seconds} s. No new game can begin.`);
  },

  // HOOK: before a reroute to a room. A promise delays it: a countdown, an animation.
  reroute({ room }) {
    show("room");
    arena.open(room);
    notice(`On the way to room ${room} …`);
  },

  // HOOK: the player has joined a room.
  roomEntered({ room, code, you }) {
    notice(`You are in room ${code ?? room}.`);
    arena.enter(you, (x, y) => cluster.room.send("steer", { x, y }));
  },

  // HOOK: an event of the room.
  roomEvent(event, data) {
    if (event === "state") arena.update(data);
    if (event === "scored") arena.celebrate(data.player);
  },

  // HOOK: a player joined, left, disconnected or reconnected.
  playersChanged: (players) => arena.showPlayers(players),

  // HOOK: the player is out of the room, and the client returns to the lobby.
  roomLost: ({ message }) => notice(message),

  // HOOK: a request or the connection was refused.
  refused: ({ message }) => notice(message),

  // HOOK: where the player is. Stopped: another window took over, or the player was kicked.
  stateChanged(state) {
    // Not when the page has just been opened.
    $("reconnecting").hidden = state !== "connecting" || !document.body.dataset.state;
    document.body.dataset.state = state; // for style.css
    if (state === "stopped") show("stopped");
  },
});

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

/** Shows a message to the player. @param {string} text */
const notice = (text) => ($("notice").textContent = text);

/** Shows one part of the page. @param {"lobby" | "room" | "stopped"} part */
const show = (part) => ["lobby", "room", "stopped"].forEach((id) => ($(id).hidden = id !== part));

/** Shows the message of a refusal. @param {Promise<any>} promise */
const attempt = (promise) => promise.catch(({ message }) => notice(message));

function enterName() {
  [$("register").hidden, $("play").hidden] = [false, true];
  $("register").elements.name.focus();
}

/** @param {{ name: string }} you */
function chooseRoom({ name }) {
  $("your-name").textContent = name;
  [$("register").hidden, $("play").hidden] = [true, false];
  $("join-any").focus();
  attempt(cluster.lobby.request("watch_rooms"));
}

/** @param {{ title: string, text: string }} news */
function showNews({ title, text }) {
  [$("news-title").textContent, $("news-text").textContent] = [`${title}:`, text];
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
$("again").onclick = () => cluster.room.send("play_again");
$("leave").onclick = () => cluster.leave();
$("resume").onclick = () => cluster.start();

import("./cluster/dev-panel.js").then(({ devPanel }) => devPanel(cluster)); // Development only: delete this line to remove the panel.
cluster.start();
