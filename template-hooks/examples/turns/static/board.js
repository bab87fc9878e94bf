// @ts-check
/** The board: draws the room's state, and turns clicks and keys into moves. */

/** @import { Game } from "./messages.d.ts" */
/** @import { Player, PlayerHere } from "./cluster/types.d.ts" */

const COLUMNS = 7, ROWS = 6;

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

let you = /** @type {Player | null} */ (null);
let code = /** @type {string | null} */ (null);
let play = /** @type {(column: number) => void} */ (() => {});
let game = /** @type {Game | null} */ (null);
let here = /** @type {PlayerHere[]} */ ([]);
let seconds = 0;

const columns = Array.from({ length: COLUMNS }, (_, at) => {
  const column = document.createElement("button");
  const slot = document.createElement("span");
  const stack = document.createElement("span");
  slot.className = "slot";
  stack.className = "stack";
  for (let row = 0; row < ROWS; row++) {
    const cell = document.createElement("span");
    cell.className = "cell";
    cell.style.setProperty("--row", String(row + 1));
    stack.append(cell);
  }
  column.append(slot, stack);
  column.onclick = () => mayPlay() && play(at);
  // One tab stop; arrow keys move between columns.
  column.onfocus = () => columns.forEach((other) => (other.tabIndex = other === column ? 0 : -1));
  column.tabIndex = at === 3 ? 0 : -1;
  return column;
});
$("board").append(...columns);

/** @param {KeyboardEvent} event */
$("board").onkeydown = ({ key }) => {
  const at = columns.findIndex((column) => column === document.activeElement);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: COLUMNS - 1 }[key] ?? Number(key) - 1;
  columns[to]?.focus();
};

export const board = {
  /** @param {Player} player @param {string | null} roomCode @param {(column: number) => void} onPlay */
  enter(player, roomCode, onPlay) {
    [you, code, play, game, here] = [player, roomCode, onPlay, null, []];
    columns[3].focus();
  },

  /** @param {Game} newGame */
  update(newGame) {
    game = newGame;
    seconds = game.seconds;
    draw();
  },

  /** @param {PlayerHere[]} players */
  showPlayers(players) {
    here = players;
    draw();
  },
};

// The room sends the seconds left with each change; the page counts down in between.
setInterval(() => {
  if (!here.some(({ away }) => away)) seconds = Math.max(0, seconds - 1);
  drawClock();
}, 1000);

const yourSide = () => game?.sides.findIndex(({ player }) => player.id === you?.id) ?? -1;
const hasBegun = () => game?.sides.length === 2;
const mayPlay = () => hasBegun() && !game?.end && game?.turn === yourSide();
/** @param {number} side */
const nameOf = (side) => (side === yourSide() ? "you" : (game?.sides[side]?.player.name ?? "nobody"));

function draw() {
  if (!game) return;
  drawPlayers(game);
  drawBoard(game);
  drawClock();
  $("turn").textContent = status(game);
  $("invite").hidden = !code || hasBegun();
  $("code").textContent = code;
  const { end, sides } = game;
  $("rematch").hidden = !end || here.length < 2;
  $("rematch").disabled = sides[yourSide()]?.again;
}

/** @param {Game} game */
function drawPlayers({ sides, turn, end }) {
  $("players").replaceChildren(...[0, 1].map((at) => {
    const row = document.createElement("li");
    const [name, wins] = [document.createElement("span"), document.createElement("span")];
    const side = sides[at];
    const place = here.find(({ id }) => id === side?.player.id);
    row.dataset.side = String(at);
    name.textContent = side?.player.name ?? "…";
    wins.textContent = side ? `${at === yourSide() ? "you, " : ""}${side.wins} won` : "";
    if (side && hasBegun() && !place) wins.textContent += ", gone";
    if (place?.away) wins.textContent += ", away";
    row.classList.toggle("away", !place || place.away);
    if (hasBegun() && !end && turn === at) row.setAttribute("aria-current", "true");
    row.append(name, wins);
    return row;
  }));
}

/** @param {Game} game */
function drawBoard({ board, last, end }) {
  $("board").dataset.side = mayPlay() ? yourSide() : "";
  columns.forEach((column, at) => {
    const fromBelow = [];
    for (const [row, cell] of [...column.querySelectorAll(".cell")].entries()) {
      const index = row * COLUMNS + at;
      const side = board[index];
      if (side !== null) fromBelow.unshift(nameOf(side));
      cell.setAttribute("data-side", String(side ?? ""));
      cell.classList.toggle("last", index === last);
      cell.classList.toggle("four", end?.cells.includes(index) ?? false);
    }
    column.setAttribute("aria-label", `Column ${at + 1}, from below: ${fromBelow.join(", ") || "empty"}`);
    column.setAttribute("aria-disabled", String(!mayPlay() || fromBelow.length === ROWS));
  });
}

function drawClock() {
  const on = game && (!game.end || here.length > 0) && !here.some(({ away }) => away);
  const what = game?.end ? "Closes in " : "";
  $("clock").textContent = on ? `${what}${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "";
}

/** @param {Game} game */
function status({ sides, turn, end }) {
  if (!hasBegun()) return code ? "Waiting for your friend …" : "Waiting for your opponent …";
  const other = sides[1 - yourSide()].player.name;
  if (!end) {
    const whose = turn === yourSide() ? "Your turn" : `${other}’s turn`;
    const isAway = here.some(({ id, away }) => away && id !== you?.id);
    return isAway ? `${whose}. ${other} is away; the seat is kept for half a minute.` : whose;
  }
  const won = end.winner === yourSide();
  const why = {
    four: won ? "Four in a row: you win!" : `Four in a row: ${other} wins.`,
    board_full: "The board is full: a draw.",
    left: `${other} has left: you win.`,
    away: `${other} did not come back: you win.`,
    too_slow: won ? `${other} took too long: you win.` : `You took too long: ${other} wins.`,
  }[end.why];
  if (sides[yourSide()].again) return `${why} Waiting for ${other} …`;
  return sides[1 - yourSide()].again ? `${why} ${other} wants a rematch.` : why;
}
