// @ts-check
/**
 * A room on the page. Here is the picture; `steering.js` has keys and touches, `scores.js` the lists
 * of players and of results.
 */

import { colorOf, scores } from "./scores.js";
import { MARGIN, steering } from "./steering.js";

/** @import { Dot } from "./messages.d.ts" */
/** @import { State } from "./scores.js" */
/** @import { PlayerHere } from "./cluster/types.d.ts" */

/** In pixels. */
const RADIUS = 14, NAME_WIDTH = 110;
/** In this time, in ms, a dot is drawn half the way to its new place, to be smooth between ticks. */
const HALF_WAY = 27;
/** How long a coin is celebrated, in ms. */
const CHEER = 700;
/** Unicode isolates: a name does not change the direction of what follows. */
const isolated = (/** @type {string} */ name) => `\u2068${name}\u2069`;

const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("arena"));
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

/** @type {State} */
const EMPTY = { dots: [], coin: [0.5, 0.5], goal: 0, results: null };
let state = EMPTY;
let room = "", you = "";
/** Players who have lost the connection. */
let away = /** @type {Set<string>} */ (new Set());
/** Where each dot is drawn. */
const drawn = /** @type {Map<string, { x: number, y: number }>} */ (new Map());
/** Coins that were taken just now. */
let cheers = /** @type {{ id: string, at: number }[]} */ ([]);

export const arena = {
  /**
   * The player is on the way to a room. If they were there before, the picture stays.
   * @param {string} id
   */
  open(id) {
    if (room === id) return;
    room = id;
    drawn.clear();
    arena.showPlayers([]);
    arena.update(EMPTY);
  },

  /** @param {{ id: string }} player @param {(x: number, y: number) => void} onSteer */
  enter(player, onSteer) {
    you = player.id;
    steering.begin(onSteer);
    scores.enter(you);
    canvas.focus();
  },

  /** @param {State} now */
  update(now) {
    state = now;
    steering.follow(state.dots.find(({ id }) => id === you));
    scores.update(state);
  },

  /** @param {PlayerHere[]} players */
  showPlayers(players) {
    away = new Set(players.filter((player) => player.away).map(({ id }) => id));
    scores.showPlayers(players);
  },

  /** @param {string} id */
  celebrate(id) {
    if (!isCalm.matches) cheers.push({ id, at: performance.now() });
  },
};

let before = 0;

/** @param {number} now */
function draw(now) {
  requestAnimationFrame(draw);
  if (canvas.closest("[hidden]")) return;
  // Device pixels: a sharp picture, and dots of the same size on a phone.
  const zoom = devicePixelRatio;
  const { clientWidth: width, clientHeight: height } = canvas;
  const size = [width * zoom, height * zoom].map(Math.round);
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  context.setTransform(zoom, 0, 0, zoom, 0, 0);
  context.clearRect(0, 0, width, height);
  const across = (/** @type {number} */ x) => MARGIN + x * (width - 2 * MARGIN);
  const below = (/** @type {number} */ y) => MARGIN + y * (height - 2 * MARGIN);
  const style = getComputedStyle(canvas);
  drawGrid(across, below, style);
  drawCoin(across(state.coin[0]), below(state.coin[1]), now, style);
  const part = 1 - 0.5 ** ((now - before) / HALF_WAY);
  before = now;
  cheers = cheers.filter(({ at }) => now - at < CHEER);
  for (const dot of state.dots) {
    const last = drawn.get(dot.id) ?? dot;
    const at = { x: last.x + (dot.x - last.x) * part, y: last.y + (dot.y - last.y) * part };
    drawn.set(dot.id, at);
    drawDot(dot, across(at.x), below(at.y), style);
  }
  // Names are above all dots.
  for (const dot of state.dots) {
    const { x, y } = drawn.get(dot.id) ?? dot;
    drawName(dot, across(x), below(y), width, style);
    for (const { id, at } of cheers) {
      if (id === dot.id) drawCheer(across(x), below(y), (now - at) / CHEER, style);
    }
  }
}

/** @typedef {(fraction: number) => number} Place  from a position in the arena to pixels */

/** @param {Place} across @param {Place} below @param {CSSStyleDeclaration} style */
function drawGrid(across, below, style) {
  context.beginPath();
  for (let i = 0; i <= 1.001; i += 1 / 8) {
    context.moveTo(across(i), below(0));
    context.lineTo(across(i), below(1));
    context.moveTo(across(0), below(i));
    context.lineTo(across(1), below(i));
  }
  context.lineWidth = 1;
  context.strokeStyle = style.getPropertyValue("--grid");
  context.stroke();
}

/** @param {number} x @param {number} y @param {number} now @param {CSSStyleDeclaration} style */
function drawCoin(x, y, now, style) {
  const radius = 9 + (isCalm.matches ? 0 : Math.sin(now / 200));
  circle(x, y, radius, style.getPropertyValue("--coin"), style.getPropertyValue("--coin-rim"));
  circle(x, y, radius / 2, "transparent", style.getPropertyValue("--coin-rim"));
}

/** @param {Dot} dot @param {number} x @param {number} y @param {CSSStyleDeclaration} style */
function drawDot({ id, number }, x, y, style) {
  context.globalAlpha = away.has(id) ? 0.35 : 1;
  circle(x, y, RADIUS, style.getPropertyValue(colorOf(number)));
  if (id === you) circle(x, y, RADIUS + 4, "transparent", style.color);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = "700 14px system-ui, sans-serif";
  context.fillStyle = style.getPropertyValue("--on-player");
  context.fillText(`${number}`, x, y + 1);
  context.globalAlpha = 1;
}

/**
 * @param {Dot} dot @param {number} x @param {number} y @param {number} width
 * @param {CSSStyleDeclaration} style
 */
function drawName({ id, name, score }, x, y, width, style) {
  context.font = "600 14px system-ui, sans-serif";
  const text = `${isolated(shortened(name))} ${score}`;
  const half = context.measureText(text).width / 2 + 4;
  const middle = Math.max(half, Math.min(width - half, x));
  // A halo in the color of the ground.
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeStyle = style.backgroundColor;
  context.strokeText(text, middle, y - RADIUS - 12);
  context.globalAlpha = away.has(id) ? 0.5 : 1;
  context.fillStyle = style.color;
  context.fillText(text, middle, y - RADIUS - 12);
  context.globalAlpha = 1;
}

/**
 * A ring that grows around a dot.
 * @param {number} x @param {number} y @param {number} progress @param {CSSStyleDeclaration} style
 */
function drawCheer(x, y, progress, style) {
  context.globalAlpha = 1 - progress;
  circle(x, y, RADIUS + 6 + 24 * progress, "transparent", style.getPropertyValue("--coin-rim"));
  context.globalAlpha = 1;
}

/** Names that were too long. @type {Map<string, string>} */
const short = new Map();

/** @param {string} name */
function shortened(name) {
  const fits = (/** @type {string} */ text) => context.measureText(text).width <= NAME_WIDTH;
  if (short.has(name) || fits(name)) return short.get(name) ?? name;
  const letters = [...name];
  while (letters.length > 1 && !fits(`${letters.join("")}…`)) letters.pop();
  short.set(name, `${letters.join("").trimEnd()}…`);
  return short.get(name) ?? name;
}

/**
 * @param {number} x @param {number} y @param {number} radius @param {string} fill
 * @param {string} [rim]
 */
function circle(x, y, radius, fill, rim) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
  if (!rim) return;
  context.lineWidth = 2;
  context.strokeStyle = rim;
  context.stroke();
}

requestAnimationFrame(draw);
