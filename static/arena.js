// @ts-check
/** The arena: draws the room's state, and turns keys and touches into a direction. */

/** @import { Dot } from "./messages.d.ts" */
/** @import { PlayerHere } from "/cluster/types.d.ts" */

const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("arena"));
const list = /** @type {HTMLElement} */ (document.getElementById("players"));
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

const LEFT = [-1, 0], RIGHT = [1, 0], UP = [0, -1], DOWN = [0, 1];
const KEYS = /** @type {Record<string, number[]>} */ ({
  ArrowLeft: LEFT, ArrowRight: RIGHT, ArrowUp: UP, ArrowDown: DOWN, a: LEFT, d: RIGHT, w: UP, s: DOWN,
});
/** Margin in pixels, for dots at the border and their names. */
const INSET = 34;
/** A dot this near to the finger stops; a fraction of the arena. */
const NEAR = 0.015;
/** Fraction of the way to its new place that a dot moves in each frame: interpolates between ticks. */
const SMOOTH = 0.35;

let you = "";
let steer = /** @type {(x: number, y: number) => void} */ (() => {});
let dots = /** @type {Dot[]} */ ([]);
let coin = [0.5, 0.5];
/** The finger's position. */
let target = /** @type {{ x: number, y: number } | null} */ (null);
let names = /** @type {Map<string, string>} */ (new Map());
const shown = /** @type {Map<string, Dot>} */ (new Map());
const pressed = /** @type {Set<string>} */ (new Set());

export const arena = {
  /** @param {{ id: string }} player @param {(x: number, y: number) => void} onSteer */
  enter(player, onSteer) {
    [you, steer, dots, target] = [player.id, onSteer, [], null];
    shown.clear();
    pressed.clear();
    canvas.focus();
  },

  /** @param {Dot[]} newDots @param {number[]} newCoin */
  update(newDots, newCoin) {
    [dots, coin] = [newDots, newCoin];
    follow();
  },

  /** @param {PlayerHere[]} players */
  showPlayers(players) {
    names = new Map(players.map(({ id, name }) => [id, name]));
    list.replaceChildren(...players.map(({ id, name, away }) => {
      const row = document.createElement("li");
      row.textContent = id === you ? `${name} (you)` : name;
      row.style.setProperty("--color", color(id));
      row.classList.toggle("away", away);
      return row;
    }));
  },

  /** @param {string} id */
  nameOf: (id) => names.get(id) ?? "?",
};

/** A player's color, from the id. @param {string} id */
const color = (id) => `hsl(${parseInt(id.slice(0, 6), 16) % 360} 65% 50%)`;

/** @param {KeyboardEvent} event */
canvas.onkeydown = canvas.onkeyup = (event) => {
  if (!(event.key in KEYS)) return;
  event.preventDefault();
  if (event.repeat) return;
  if (event.type === "keydown") pressed.add(event.key);
  else pressed.delete(event.key);
  const ways = [...pressed].map((key) => KEYS[key]);
  steer(ways.reduce((sum, [x]) => sum + x, 0), ways.reduce((sum, [, y]) => sum + y, 0));
};
canvas.onblur = () => {
  if (pressed.size > 0) steer(0, 0);
  pressed.clear();
};

/** @param {PointerEvent} event */
canvas.onpointerdown = canvas.onpointermove = (event) => {
  if (!event.buttons) return;
  canvas.setPointerCapture(event.pointerId);
  const box = canvas.getBoundingClientRect();
  const x = (event.clientX - box.left - INSET) / (box.width - 2 * INSET);
  const y = (event.clientY - box.top - INSET) / (box.height - 2 * INSET);
  target = { x, y };
};
canvas.onpointerup = canvas.onpointercancel = () => {
  if (target) steer(0, 0);
  target = null;
};

/** Steers towards the finger, once for each state of the room, however often the finger moves. */
function follow() {
  const me = dots.find(({ id }) => id === you);
  if (!target || !me) return;
  const [x, y] = [target.x - me.x, target.y - me.y];
  const length = Math.hypot(x, y);
  if (length < NEAR) steer(0, 0);
  else steer(x / length, y / length);
}

function draw() {
  requestAnimationFrame(draw);
  // Device pixels: a sharp picture, and dots of the same size on a phone.
  const zoom = devicePixelRatio;
  const [width, height] = [canvas.clientWidth * zoom, canvas.clientHeight * zoom].map(Math.round);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const across = (/** @type {number} */ x) => (INSET * zoom) + x * (width - 2 * INSET * zoom);
  const below = (/** @type {number} */ y) => (INSET * zoom) + y * (height - 2 * INSET * zoom);
  const { color: text } = getComputedStyle(canvas);
  context.clearRect(0, 0, width, height);
  circle(across(coin[0]), below(coin[1]), 9 * zoom, "#e0a81e");
  context.font = `600 ${14 * zoom}px system-ui, sans-serif`;
  context.textAlign = "center";
  for (const dot of dots) {
    const last = shown.get(dot.id) ?? dot;
    const x = last.x + (dot.x - last.x) * SMOOTH;
    const y = last.y + (dot.y - last.y) * SMOOTH;
    shown.set(dot.id, { ...dot, x, y });
    circle(across(x), below(y), 13 * zoom, color(dot.id), dot.id === you ? text : undefined);
    const label = `${arena.nameOf(dot.id)} ${dot.score}`;
    const half = context.measureText(label).width / 2 + 4 * zoom;
    context.fillStyle = text;
    context.fillText(label, Math.max(half, Math.min(width - half, across(x))), below(y) - 19 * zoom);
  }
}

/** @param {number} x @param {number} y @param {number} radius @param {string} fill @param {string} [rim] */
function circle(x, y, radius, fill, rim) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
  if (!rim) return;
  context.lineWidth = radius / 5;
  context.strokeStyle = rim;
  context.stroke();
}

draw();
