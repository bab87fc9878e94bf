// @ts-check
/** The list of rooms: a button for each. */

/** @import { RoomInfo } from "./cluster/types.d.ts" */
/** @import { Messages } from "./messages.d.ts" */

const list = /** @type {HTMLElement} */ (document.getElementById("rooms"));
/** The buttons, by the room's id. @type {Map<string, HTMLButtonElement>} */
const buttons = new Map();

export const rooms = {
  /** @param {RoomInfo<Messages>[]} open @param {(room: string) => void} join */
  show(open, join) {
    // Updated in place: replacing a button during a click would lose the click.
    const ids = new Set(open.map(({ room }) => room));
    for (const [id, button] of buttons) if (!ids.has(id) && buttons.delete(id)) button.parentElement?.remove();
    for (const { room, options, players, capacity, locked } of open) {
      const button = buttons.get(room) ?? addButton(room);
      const [number, title, seats] = button.childNodes;
      [number.textContent, title.textContent] = [`Room ${room}: `, options.title];
      seats.textContent = ` (${players} of ${capacity})`;
      button.disabled = locked || players >= capacity;
      button.onclick = () => join(room);
    }
  },
};

/** @param {string} room */
function addButton(room) {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.append("", document.createElement("bdi"), "");
  row.append(button);
  list.append(row);
  buttons.set(room, button);
  return button;
}
