// @ts-check
/** The page. Edit the hooks; `cluster.js` calls them. The console has a line for each call. */
import { Cluster } from "./cluster/cluster.js";

/** @type {Cluster<import("./messages.d.ts").Messages>} */
const cluster = new Cluster({
  // HOOK: the player is in the lobby: first, again, or back from a room.
  lobbyEntered({ you, returned }) {
    console.info("lobbyEntered", you, returned);
    show("lobby");
    notice(returned ? `${returned.reason.message} You are back in the lobby.` : "");
    if (you) welcome(you);
    else enterName();
  },

  // HOOK: an event of the lobby.
  lobbyEvent(event, data) {
    console.info("lobbyEvent", event, data);
    if (event === "news") $("news").textContent = data.text;
    if (event === "closing") notice(`The server closes in ${data.seconds} s. No new game can begin.`);
  },

  // HOOK: before a reroute to a room. A promise delays it: a countdown, an animation.
  reroute({ room }) {
    console.info("reroute", room);
    notice(`On the way to room ${room} …`);
  },

  // HOOK: the player has joined a room.
  roomEntered({ room, you, players }) {
    console.info("roomEntered", room, you, players);
    show("room");
    notice(`You are in room ${room}.`);
    $("greeting").textContent = "";
    $("hello").focus();
  },

  // HOOK: an event of the room.
  roomEvent(event, data) {
    console.info("roomEvent", event, data);
    if (event === "greeting") $("greeting").textContent = data.text;
  },

  // HOOK: what the room shows to all, `cluster.room.state`, has changed; also after `roomEntered`.
  roomStateChanged(state) {
    console.info("roomStateChanged", state);
    $("hellos").textContent = `Hellos in this room: ${state.hellos}`;
  },

  // HOOK: a player joined, left, disconnected, reconnected, or has another profile.
  playersChanged(players) {
    console.info("playersChanged", players);
    $("players").replaceChildren(...players.map(({ name, away }) => {
      const row = document.createElement("li");
      row.textContent = name;
      row.classList.toggle("away", away);
      return row;
    }));
  },

  // HOOK: the player is out of the room, and the client returns to the lobby.
  roomLost(reason) {
    console.info("roomLost", reason);
    notice(`${reason.message} Going back to the lobby …`);
  },

  // HOOK: a request or the connection was refused.
  refused(refusal) {
    console.info("refused", refusal);
    notice(refusal.message);
  },

  // HOOK: where the player is. Stopped: another window took over, or the player was kicked.
  stateChanged(state) {
    console.info("stateChanged", state);
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
  $("register").hidden = false;
  $("play").hidden = true;
  $("register").elements.name.focus();
}

/** @param {{ name: string }} you */
function welcome({ name }) {
  $("your-name").textContent = name;
  $("register").hidden = true;
  $("play").hidden = false;
  $("join").focus();
}

$("register").onsubmit = (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  attempt(cluster.register($("register").elements.name.value).then(welcome));
};
$("join").onclick = () => attempt(cluster.play("game"));
$("wave").onclick = () => attempt(cluster.lobby.request("wave"));
$("hello").onclick = () => cluster.room.send("hello");
$("leave").onclick = () => cluster.leave();
$("resume").onclick = () => cluster.start();

import("./cluster/dev-panel.js").then(({ devPanel }) => devPanel(cluster)); // Development only: delete this line to remove the panel.
cluster.start();
