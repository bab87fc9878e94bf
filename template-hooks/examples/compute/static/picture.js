// @ts-check
/** The picture: colours rows as they come, and turns clicks and keys into the next view. */

/** @import { View } from "./messages.d.ts" */

const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("picture"));
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

/** As in `src/room.rs`: two letters are a shade. */
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const SHADES = LETTERS.length ** 2;
/** Width in pixels of the strip that shows which room computed each row. */
const MARGIN = 12;
/** A cyclic palette, with `BETWEEN` shades from one colour to the next. */
const COLORS = [[16, 20, 84], [32, 107, 203], [224, 246, 255], [255, 176, 32], [122, 26, 46]];
const BETWEEN = 300;
const PAN = 0.25, ZOOM = 2.5;

/** All of the Mandelbrot set. @type {View} */
export const WHOLE = { x: -0.7, y: 0, across: 3.6, columns: 960, rows: 640, depth: 1000 };

/** The RGBA pixel of each shade. */
const palette = new Uint32Array(
  Uint8ClampedArray.from(Array.from({ length: SHADES }, (_, shade) => colorOf(shade)).flat()).buffer,
);
const value = new Uint8Array(128);
[...LETTERS].forEach((letter, at) => (value[letter.charCodeAt(0)] = at));

/** The current view. */
let view = WHOLE;

export const picture = {
  get view() {
    return view;
  },

  /** A new picture. The visible part of the last one stays as a pale preview. @param {View} next */
  begin(next) {
    const before = /** @type {HTMLCanvasElement} */ (canvas.cloneNode());
    before.getContext("2d")?.drawImage(canvas, 0, 0);
    const { columns, rows } = next;
    [canvas.width, canvas.height] = [columns + MARGIN, rows];
    const zoom = view.across / next.across;
    const [left, top] = [view.x - next.x, view.y - next.y].map((shift) => (shift / next.across) * columns);
    context.globalAlpha = 0.35;
    context.drawImage(
      before, 0, 0, columns, rows,
      left + ((1 - zoom) * columns) / 2, top + ((1 - zoom) * rows) / 2, columns * zoom, rows * zoom,
    );
    context.globalAlpha = 1;
    context.clearRect(columns, 0, MARGIN, rows);
    view = next;
  },

  /** @param {number} row @param {string} shades @param {string} color of the room */
  row(row, shades, color) {
    const image = context.createImageData(view.columns, 1);
    const pixels = new Uint32Array(image.data.buffer);
    for (let at = 0; at < view.columns; at++) {
      const [high, low] = [shades.charCodeAt(2 * at), shades.charCodeAt(2 * at + 1)];
      pixels[at] = palette[value[high] * LETTERS.length + value[low]];
    }
    context.putImageData(image, 0, row);
    context.fillStyle = color;
    context.fillRect(view.columns + MARGIN / 3, row, MARGIN, 1);
  },

  nearer: () => zoomed(ZOOM),
  farther: () => zoomed(1 / ZOOM),

  /** Calls back when the player moves or zooms. @param {(next: View) => void} call */
  onMove(call) {
    const height = () => (view.across * view.rows) / view.columns;
    canvas.onclick = ({ offsetX, offsetY, shiftKey }) => {
      const across = (offsetX / canvas.clientWidth) * (1 + MARGIN / view.columns);
      const [x, y] = [across - 0.5, offsetY / canvas.clientHeight - 0.5];
      call(zoomed(shiftKey ? 1 / ZOOM : ZOOM, view.x + x * view.across, view.y + y * height()));
    };
    canvas.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const next = /** @type {Record<string, () => View>} */ ({
        ArrowLeft: () => ({ ...view, x: view.x - PAN * view.across }),
        ArrowRight: () => ({ ...view, x: view.x + PAN * view.across }),
        ArrowUp: () => ({ ...view, y: view.y - PAN * height() }),
        ArrowDown: () => ({ ...view, y: view.y + PAN * height() }),
        "+": picture.nearer,
        "-": picture.farther,
      })[event.key];
      if (!next) return;
      event.preventDefault();
      call(next());
    };
  },
};

/** Zooms; the given point stays in place. @param {number} zoom @returns {View} */
const zoomed = (zoom, x = view.x, y = view.y) => ({
  ...view, x: x + (view.x - x) / zoom, y: y + (view.y - y) / zoom, across: view.across / zoom,
});

/** @param {number} shade */
function colorOf(shade) {
  if (shade === 0) return [6, 8, 14, 255];
  const at = shade / BETWEEN;
  const [from, to] = [COLORS[Math.floor(at) % COLORS.length], COLORS[Math.ceil(at) % COLORS.length]];
  return [...from.map((part, i) => part + (to[i] - part) * (at % 1)), 255];
}
