// @ts-check
/** The players in the room with their scores, and the results between two rounds. */

/** @import { RoomEvent } from "./messages.d.ts" */
/** @import { PlayerHere } from "./cluster/types.d.ts" */
/** @typedef {Extract<RoomEvent, { state: any }>["state"]} State */
/** @typedef {{ id: string, number: number, name: string, remark: string, score: number }} Row */

/** Colors in style.css. Beyond these they repeat, and only the numbers tell players apart. */
const COLORS = 8;

/** The custom property with a player's color. @param {number} number */
export const colorOf = (number) => `--player-${((number - 1) % COLORS) + 1}`;

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

let you = "";
/** @type {PlayerHere[]} */
let players = [];
/** @type {State} */
let state;

export const scores = {
  /** @param {string} id the player's own */
  enter(id) {
    you = id;
  },

  /** @param {State} now */
  update(now) {
    state = now;
    $("goal").textContent = state.goal ? `The first with ${state.goal} coins wins` : "Players";
    listPlayers();
    showResults();
  },

  /** @param {PlayerHere[]} here */
  showPlayers(here) {
    players = here;
    listPlayers();
  },
};

/** @param {string} id */
const dotOf = (id) => state?.dots.find((dot) => dot.id === id);

function listPlayers() {
  list($("players"), players.map(({ id, name, away }) => {
    const { number = 0, score = 0 } = dotOf(id) ?? {};
    return { id, number, name, remark: away ? "away" : "", score };
  }));
}

function showResults() {
  const { results } = state;
  const isNew = $("results").hidden;
  if (!results && document.activeElement === $("again")) $("arena").focus({ preventScroll: true });
  $("results").hidden = !results;
  if (!results) return;
  const rows = results.scores.map(({ id, number, name, score }) =>
    ({ id, number, name, remark: dotOf(id)?.ready ? "ready" : "", score }));
  list($("scores"), rows);
  $("again").disabled = dotOf(you)?.ready;
  $("countdown").textContent =
    `The next round begins in ${Math.ceil(results.seconds)} s, or as soon as everyone wants to play again.`;
  if (!isNew) return;
  $("winner").replaceChildren(...(rows[0].id === you ? ["You win!"] : [nameOf(rows[0]), " wins!"]));
  $("again").focus({ preventScroll: true });
}

/** What each list shows. @type {WeakMap<Element, string>} */
const shown = new WeakMap();

/** Shows rows in a list, if they have changed. @param {Element} element @param {Row[]} rows */
function list(element, rows) {
  const text = JSON.stringify(rows);
  if (shown.get(element) !== text) element.replaceChildren(...rows.map(rowOf));
  shown.set(element, text);
}

/** @param {Row} row */
function rowOf({ id, number, name, remark, score }) {
  const row = document.createElement("li");
  row.className = remark;
  if (id === you) row.setAttribute("aria-current", "true");
  row.style.setProperty("--color", `var(${colorOf(number)})`);
  row.style.setProperty("--progress", `${score / (state?.goal || 1)}`);
  const who = part("span", "who", nameOf({ name }), id === you ? part("span", "you", " (you)") : "");
  row.append(part("span", "number", `${number || ""}`), who, part("span", "remark", remark));
  row.append(part("span", "score", `${score}`));
  return row;
}

/** A name does not change the direction of what follows. @param {{ name: string }} player */
const nameOf = ({ name }) => part("bdi", "", name);

/** @param {string} tag @param {string} className @param {(string | Node)[]} content */
function part(tag, className, ...content) {
  const element = Object.assign(document.createElement(tag), { className });
  element.append(...content);
  return element;
}
