// @ts-check
/**
 * What the page does in the lobby, on a reroute, in a room, and on the way back. Edit the hooks;
 * `cluster.js` calls them, `dev-panel.js` shows what happens behind it all. The browser's console has one
 * line for each call.
 */
import { Cluster } from "/cluster/cluster.js";
import { devPanel, notice, show } from "/cluster/dev-panel.js";

/** @type {Cluster<import("./messages.d.ts").Messages>} */
const cluster = new Cluster({
  // HOOK: in the lobby: first, again, or back from a room.
  lobbyEntered({ you, returned }) {
    console.info("lobbyEntered", you, returned);
    show("lobby");
    notice(returned ? `${returned.reason.message} You are back in the lobby.` : "");
    if (you) welcome(you);
    else enterName();
  },

  // HOOK: the lobby says something.
  lobbyEvent(event, data) {
    console.info("lobbyEvent", event, data);
    if (event === "news") $("news").textContent = data.text;
  },

  // HOOK: about to go to a room. A promise is waited for: a countdown, an animation.
  reroute({ room }) {
    console.info("reroute", room);
    notice(`On the way to room ${room} …`);
  },

  // HOOK: in the room.
  roomEntered({ room, you, players }) {
    console.info("roomEntered", room, you, players);
    show("room");
    notice(`You are in room ${room}.`);
    $("greeting").textContent = "";
    $("hello").focus();
  },

  // HOOK: the room says something.
  roomEvent(event, data) {
    console.info("roomEvent", event, data);
    if (event === "greeting") $("greeting").textContent = data.text;
  },

  // HOOK: somebody came, left, is away or has returned.
  playersChanged(players) {
    console.info("playersChanged", players);
    $("players").replaceChildren(...players.map(({ name, away }) => {
      const row = document.createElement("li");
      row.textContent = name;
      row.style.setProperty("--color", "var(--accent)");
      row.classList.toggle("away", away);
      return row;
    }));
  },

  // HOOK: out of the room; the way back has begun.
  roomLost(reason) {
    console.info("roomLost", reason);
    notice(`${reason.message} Going back to the lobby …`);
  },

  // HOOK: something was not granted; also why this page must stay put.
  refused(refusal) {
    console.info("refused", refusal);
    notice(refusal.message);
  },

  // HOOK: where the player is. Stopped: another window took over, or the player was kicked.
  stateChanged(state) {
    console.info("stateChanged", state);
    if (state === "stopped") show("stopped");
  },
});

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

/** Shows why something was refused. @param {Promise<any>} promise */
const attempt = (promise) => promise.catch(({ message }) => notice(message));

function enterName() {
  $("register").hidden = false;
  $("play").hidden = true;
  $("register").elements.name.focus();
}

/** @param {{ name: string }} you */
function welcome({ name }) {
  $("welcome").textContent = `Welcome, ${name}`;
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

devPanel(cluster);
cluster.start();
