// @ts-check
/**
 * The page: it stays in the lobby, asks for a picture, and shows the rows as they come. Edit the
 * hooks; `cluster.js` calls them, `picture.js` draws, `workers.js` lists the rooms.
 */
import { Cluster } from "./cluster/cluster.js";
import { WHOLE, picture } from "./picture.js";
import { workers } from "./workers.js";

/** @import { How, View } from "./messages.d.ts" */

/** @type {Cluster<import("./messages.d.ts").Messages>} */
const cluster = new Cluster({
  // HOOK: the player is in the lobby, for the first time or again.
  lobbyEntered({ you }) {
    notice("");
    $("lobby").hidden = false;
    attempt(cluster.lobby.request("watch_rooms"));
    if (you) enter();
    else enterName();
  },

  // HOOK: an event of the lobby.
  lobbyEvent(event, data) {
    if (event === "rooms") workers.show(data.map(({ room }) => room));
    if (event === "begun") begin(data);
    if (event === "row") {
      workers.haveDone(data.room);
      picture.row(data.row, data.shades, workers.colorOf(data.room));
      showProgress();
    }
    if (event === "ended") end(data.how);
    if (event === "closing") notice(`The server closes in ${data.seconds} s.`);
  },

  // HOOK: a request or the connection was refused.
  refused: ({ message }) => notice(message),

  // HOOK: where the player is. Stopped: another window took over, or the player was kicked.
  stateChanged(state) {
    $("reconnecting").hidden = state !== "connecting" || !document.body.dataset.state;
    document.body.dataset.state = state; // for style.css
    $("stopped").hidden = state !== "stopped";
  },
});

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

/** Shows a message to the player. @param {string} text */
const notice = (text) => ($("notice").textContent = text);

/** Shows the message of a refusal. @param {Promise<any>} promise */
const attempt = (promise) => promise.catch(({ message }) => notice(message));

let begun = 0;
let drawing = false;

function enterName() {
  $("register").hidden = false;
  $("play").hidden = true;
  $("register").elements.name.focus();
}

/** Draws again after a reconnect: the lobby cancels the picture of a player who leaves. */
function enter() {
  $("register").hidden = true;
  $("play").hidden = false;
  if (drawing || begun === 0) render(picture.view);
}

/** @param {View} view */
const render = (view) =>
  attempt(cluster.lobby.request("render", { ...view, depth: Number($("depth").value) }));

/** @param {View} view */
function begin(view) {
  [drawing, begun] = [true, performance.now()];
  workers.begin();
  picture.begin(view);
  $("go").textContent = "Cancel";
  notice("The lobby hands out rows; the rooms compute them.");
  showProgress();
}

/** @param {How} how */
function end(how) {
  drawing = false;
  $("go").textContent = "Draw again";
  const time = `after ${((performance.now() - begun) / 1000).toFixed(1)} s`;
  if (how === "complete") notice(`Complete ${time}, by ${workers.howMany()}. Click on the picture to see more.`);
  if (how === "cancelled") notice(`Cancelled ${time}.`);
  if (how === "failed") notice(`Given up ${time}: no room can compute this. The server's log says why.`);
}

function showProgress() {
  const rows = workers.allRows();
  $("progress").value = rows / picture.view.rows;
  $("count").textContent = `${rows} of ${picture.view.rows} rows`;
}

$("register").onsubmit = (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  attempt(cluster.register($("register").elements.name.value).then(enter));
};
$("whole").onclick = () => render(WHOLE);
$("in").onclick = () => render(picture.nearer());
$("out").onclick = () => render(picture.farther());
$("depth").onchange = () => render(picture.view);
$("go").onclick = () => (drawing ? attempt(cluster.lobby.request("cancel")) : render(picture.view));
picture.onMove(render);

import("./cluster/dev-panel.js").then(({ devPanel }) => devPanel(cluster)); // Development only: delete this line to remove the panel.
cluster.start();
