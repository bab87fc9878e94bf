// @ts-check
/** Keys, a finger or the mouse become a direction. */

/** @import { Dot } from "./messages.d.ts" */

/** Margin of the arena in pixels: room for the dots at its border, and for their names. */
export const MARGIN = 34;
/** A dot this near to the finger stops; a fraction of the arena. */
const NEAR = 0.015;

const LEFT = [-1, 0], RIGHT = [1, 0], UP = [0, -1], DOWN = [0, 1];
/** By position: WASD are neighbours on every keyboard. @type {Record<string, number[]>} */
const KEYS = {
  ArrowLeft: LEFT, ArrowRight: RIGHT, ArrowUp: UP, ArrowDown: DOWN,
  KeyA: LEFT, KeyD: RIGHT, KeyW: UP, KeyS: DOWN,
};

const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("arena"));
/** @type {Set<string>} */
const pressed = new Set();
/** Where the finger is. @type {{ x: number, y: number } | null} */
let target = null;
/** @type {(x: number, y: number) => void} */
let send = () => {};
/** What was sent last: a direction that stays the same is not sent again. */
let sent = "";

export const steering = {
  /** @param {(x: number, y: number) => void} onSteer */
  begin(onSteer) {
    [send, sent] = [onSteer, ""];
    stop();
  },

  /**
   * Steers a dot towards the finger. Called at each tick, however often the finger moves.
   * @param {Dot} [dot]
   */
  follow(dot) {
    if (!target || !dot) return;
    const [x, y] = [target.x - dot.x, target.y - dot.y];
    const distance = Math.hypot(x, y);
    if (distance < NEAR) steer(0, 0);
    else steer(x / distance, y / distance);
  },
};

/** @param {number} x @param {number} y */
function steer(x, y) {
  if (sent === `${x} ${y}`) return;
  sent = `${x} ${y}`;
  send(x, y);
}

function stop() {
  pressed.clear();
  target = null;
  steer(0, 0);
}

function release() {
  if (pressed.size > 0 || target) stop();
}

function steerByKeys() {
  const ways = [...pressed].map((key) => KEYS[key]);
  steer(ways.reduce((sum, [x]) => sum + x, 0), ways.reduce((sum, [, y]) => sum + y, 0));
}

// The whole page listens, so that keys work whatever has been clicked.
addEventListener("keydown", (event) => {
  const { code, repeat, ctrlKey, altKey, metaKey } = event;
  if (!(code in KEYS) || ctrlKey || altKey || metaKey || canvas.closest("[hidden]")) return;
  // Text fields and lists that scroll have a use for them.
  if (/** @type {Element} */ (event.target).closest("input, [tabindex]:not(#arena)")) return;
  event.preventDefault(); // The page does not scroll.
  if (repeat) return;
  pressed.add(code);
  steerByKeys();
});
addEventListener("keyup", ({ code }) => pressed.delete(code) && steerByKeys());

// The page is not told of keys that are released elsewhere.
addEventListener("blur", release);
document.addEventListener("visibilitychange", () => document.hidden && release());

canvas.onpointerdown = canvas.onpointermove = (event) => {
  if (!event.isPrimary || !(event.buttons & 1)) return;
  canvas.setPointerCapture(event.pointerId);
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const x = (event.clientX - left - MARGIN) / (width - 2 * MARGIN);
  const y = (event.clientY - top - MARGIN) / (height - 2 * MARGIN);
  target = { x, y };
};
canvas.onpointerup = canvas.onpointercancel = ({ isPrimary }) => {
  if (!isPrimary || !target) return;
  target = null;
  steerByKeys(); // One may still be held.
};
