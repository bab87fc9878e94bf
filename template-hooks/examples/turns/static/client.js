// @ts-check
/**
 * What the page does in the lobby, on a reroute, in a room, and on the way back. Edit the hooks;
 * `cluster.js` calls them, `board.js` draws the game, `dev-panel.js` shows what happens behind it all.
 */
import { board } from "./board.js";
import { Cluster } from "/cluster/cluster.js";
import { devPanel, notice, show } from "/cluster/dev-panel.js";

/** @type {Cluster<import("./messages.d.ts").Messages>} */
const cluster = new Cluster({
  // HOOK: in the lobby, for the first time or again.
  lobbyEntered({ you, returned }) {
    show("lobby");
    notice(returned ? `${returned.reason.message} You are back in the lobby.` : "");
    if (you) chooseGame(you);
    else enterName();
  },

  // HOOK: the lobby says something.
  lobbyEvent(event, data) {
    if (event === "place") showPlace(data);
    if (event === "news") showNews(data.lines);
  },

  // HOOK: about to go to a room. A promise is waited for: a countdown, an animation.
  reroute({ room }) {
    notice(`On the way to room ${room} …`);
  },

  // HOOK: in the room.
  roomEntered({ code, you }) {
    show("room");
    notice("");
    board.enter(you, code, (column) => attempt(cluster.room.request("play", { column })));
  },

  // HOOK: the room says something.
  roomEvent(event, data) {
    if (event === "game") board.update(data);
  },

  // HOOK: somebody came or left, or is away for a moment.
  playersChanged: (players) => board.showPlayers(players),

  // HOOK: out of the room.
  roomLost: ({ message }) => notice(`${message} Going back to the lobby …`),

  // HOOK: something was not granted; also why this page must stay put.
  refused({ event, message }) {
    notice(message);
    if (event === "reroute") showPlace(null); // Rerouted by the queue, but not admitted by the room.
  },

  // HOOK: where the player is. Stopped: another window took over, or the player was kicked.
  stateChanged(state) {
    if (state === "stopped") show("stopped");
  },
});

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

/** Shows why something was refused. @param {Promise<any>} promise */
const attempt = (promise) => promise.then(() => notice(""), ({ message }) => notice(message));

function enterName() {
  $("register").hidden = false;
  $("play").hidden = true;
  $("register").elements.name.focus();
}

/** @param {{ name: string }} you */
function chooseGame({ name }) {
  $("greeting").textContent = `Welcome, ${name}`;
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

devPanel(cluster);
cluster.start();
