// @ts-check
/**
 * The page: in the lobby, on a reroute, in a room, and on return. Edit the hooks; `cluster.js` calls
 * them, `board.js` draws the game.
 */
import { board } from "./board.js";
import { Cluster } from "./cluster/cluster.js";

/** @type {Cluster<import("./messages.d.ts").Messages>} */
const cluster = new Cluster({
  // HOOK: the player is in the lobby: first, again, or back from a room.
  lobbyEntered({ you, returned }) {
    show("lobby");
    notice(returned ? `${returned.reason.message} You are back in the lobby.` : "");
    if (you) chooseGame(you);
    else enterName();
  },

  // HOOK: an event of the lobby.
  lobbyEvent(event, data) {
    if (event === "place") showPlace(data);
    if (event === "news") showNews(data.lines);
    if (event === "closing") notice(`The server closes in ${data.seconds} s. No new game can begin.`);
  },

  // HOOK: before a reroute to a room. A promise delays it: a countdown, an animation.
  reroute({ room }) {
    notice(`On the way to room ${room} …`);
  },

  // HOOK: the player has joined a room.
  roomEntered({ code, you }) {
    show("room");
    notice("");
    board.enter(you, code, (column) => attempt(cluster.room.request("play", { column })));
  },

  // HOOK: the room's state has changed.
  roomStateChanged: (game) => board.update(game),

  // HOOK: a player joined, left, disconnected or reconnected.
  playersChanged: (players) => board.showPlayers(players),

  // HOOK: the player is out of the room, and the client returns to the lobby.
  roomLost: ({ message }) => notice(`${message} Going back to the lobby …`),

  // HOOK: a request or the connection was refused.
  refused({ event, message }) {
    notice(message);
    if (event === "reroute") showPlace(null); // The queue's room did not admit the player.
  },

  // HOOK: where the player is. Stopped: another window took over, or the player was kicked.
  stateChanged(state) {
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
const attempt = (promise) => promise.then(() => notice(""), ({ message }) => notice(message));

function enterName() {
  $("register").hidden = false;
  $("play").hidden = true;
  $("register").elements.name.focus();
}

/** @param {{ name: string }} you */
function chooseGame({ name }) {
  $("your-name").textContent = name;
  $("register").hidden = true;
  $("play").hidden = false;
  $("join-friend").reset();
  showPlace(null);
}

/** @param {{ place: number, waiting: number } | null} at  null: not in the queue */
function showPlace(at) {
  $("place").textContent = at ? `Waiting for an opponent. Your place: ${at.place} of ${at.waiting}.` : "";
  [$("find").hidden, $("stop").hidden] = [at !== null, at === null];
  if (document.activeElement !== $("join-friend").elements.code) $(at ? "stop" : "find").focus();
}

/** @param {string[]} lines */
function showNews(lines) {
  const row = (/** @type {string} */ textContent) => Object.assign(document.createElement("li"), { textContent });
  $("news").replaceChildren(...lines.map(row));
}

$("register").onsubmit = (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  attempt(cluster.register($("register").elements.name.value).then(chooseGame));
};
$("join-friend").onsubmit = (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  attempt(cluster.lobby.request("join_friend", { code: $("join-friend").elements.code.value }));
};
$("find").onclick = () => attempt(cluster.lobby.request("find_opponent"));
$("stop").onclick = () => attempt(cluster.lobby.request("stop_waiting").then(() => showPlace(null)));
$("invite-friend").onclick = () => attempt(cluster.lobby.request("invite_friend"));
$("rematch").onclick = () => attempt(cluster.room.request("rematch"));
$("leave").onclick = () => cluster.leave();
$("resume").onclick = () => cluster.start();

import("./cluster/dev-panel.js").then(({ devPanel }) => devPanel(cluster)); // Development only: delete this line to remove the panel.
cluster.start();
