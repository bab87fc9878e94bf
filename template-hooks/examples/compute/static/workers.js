// @ts-check
/** The rooms at work: the rows that each has computed and, in development, a button to kill it. */

const list = /** @type {HTMLElement} */ (document.getElementById("workers"));
const hint = /** @type {HTMLElement} */ (document.getElementById("try-it"));
const mayKill = fetch("dev").then(async (answer) => (await answer.text()) === "on");
mayKill.then((may) => (hint.hidden = !may));
const shown = /** @type {Map<string, HTMLElement>} */ (new Map());
/** Rows of this picture by room, also by rooms that have ended. */
const rows = /** @type {Map<string, number>} */ (new Map());

export const workers = {
  /** @param {string[]} rooms that are open now */
  show(rooms) {
    for (const [room, row] of shown) if (!rooms.includes(room) && shown.delete(room)) row.remove();
    for (const room of rooms) if (!shown.has(room)) add(room);
  },

  /** A new picture. */
  begin() {
    rows.clear();
    shown.forEach((_, room) => tell(room));
  },

  /** One more row. @param {string} room */
  haveDone(room) {
    rows.set(room, (rows.get(room) ?? 0) + 1);
    tell(room);
  },

  allRows: () => [...rows.values()].reduce((sum, some) => sum + some, 0),
  howMany: () => (rows.size === 1 ? "1 room" : `${rows.size} rooms`),

  /** Distinct colours for consecutive ids. @param {string} room */
  colorOf: (room) => `hsl(${(Number(room) * 137) % 360} 70% 52%)`,
};

/** @param {string} room */
function add(room) {
  const row = document.createElement("li");
  const [text, button] = [document.createElement("span"), document.createElement("button")];
  text.style.setProperty("--color", workers.colorOf(room));
  button.textContent = "Kill";
  button.setAttribute("aria-label", `Kill room ${room}`);
  button.hidden = true;
  mayKill.then((may) => (button.hidden = !may));
  button.title = "Kills this room's process; another one computes the rest of its rows";
  button.onclick = () => fetch(`dev/rooms/${room}/kill`, { method: "POST" });
  row.append(text, button);
  list.append(row);
  shown.set(room, row);
  tell(room);
}

/** @param {string} room */
function tell(room) {
  const text = shown.get(room)?.firstElementChild;
  if (text) text.textContent = `Room ${room}: ${rows.get(room) ?? 0} rows`;
}
