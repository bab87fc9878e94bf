// @ts-check
/**
 * Structure: the page at `--admin`, for the lobby's operators. It shows rooms and players, and closes
 * or kills rooms, kicks players and drains the lobby. Each button is pressed twice.
 */

/**
 * @typedef {{ id: string, name: string, place: string, room: string | null }} Player
 * @typedef {{ room: string, kind: string, state: string, seats: number, private: boolean, locked: boolean,
 *   age_s: number, cpu_s: number, memory: number, tick_delay_ms: number }} Room
 * @typedef {{ name: string, build: string, rooms: number, max_rooms: number, cpu: number, draining: boolean }} Host
 * @typedef {{ version: string, draining_s: number | null, lag_ms: number, hosts: Host[] | null, rooms: Room[],
 *   players: Player[] }} Lobby
 */

/** How often the state is asked for, in ms. */
const INTERVAL = 1000;
/** How long a button waits for the second press, in ms. */
const SURE = 4000;
/** The key of the token. It is gone with the tab. */
const TOKEN = "admin-token";

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

/** @param {string} path @param {string} [method] */
function ask(path, method = "GET") {
  const token = sessionStorage.getItem(TOKEN);
  /** @type {HeadersInit} */
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  return fetch(path, { method, headers, cache: "no-store" });
}

/**
 * @param {string} tag @param {Record<string, string>} attributes @param {(Node | string)[]} children
 * @returns {HTMLElement}
 */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A button that acts when it is pressed twice. @param {string} label @param {string} path */
function actButton(label, path) {
  const button = /** @type {HTMLButtonElement} */ (element("button", {}, label));
  button.onclick = async () => {
    if (button.className !== "sure") {
      button.className = "sure";
      button.textContent = `${label}: sure?`;
      setTimeout(() => Object.assign(button, { className: "", textContent: label }), SURE);
      return;
    }
    Object.assign(button, { className: "", textContent: label });
    const answer = await ask(path, "POST").catch(() => null);
    const done = answer?.ok ? "done" : await answer?.text().catch(() => "") || "the lobby does not answer";
    $("notice").textContent = `${label}: ${done}`;
  };
  return button;
}

/**
 * Keeps one element for each entry of a list, so that a button that is about to be pressed stays.
 * @template Entry @param {HTMLElement} parent @param {Entry[]} entries @param {(entry: Entry) => string} key
 * @param {(entry: Entry) => HTMLElement} make @param {(element: HTMLElement, entry: Entry) => void} update
 */
function keep(parent, entries, key, make, update) {
  const old = new Map([...parent.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  const now = entries.map((entry) => {
    const kept = /** @type {HTMLElement} */ (old.get(key(entry)) ?? make(entry));
    kept.dataset.key = key(entry);
    update(kept, entry);
    return kept;
  });
  for (const child of [...parent.children]) if (!now.includes(/** @type {HTMLElement} */ (child))) child.remove();
  now.forEach((child, at) => { if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at]); });
}

/** @param {HTMLElement} list @param {Player[]} players */
function showPlayers(list, players) {
  const make = (/** @type {Player} */ { id }) =>
    element("li", {}, element("span"), actButton("Kick", `players/${encodeURIComponent(id)}/kick`));
  keep(list, players, ({ id }) => id, make, (item, { name, id, place }) => {
    const away = ["lobby", "room"].includes(place) ? "" : ` (${place.replaceAll("_", " ")})`;
    const text = item.querySelector("span");
    if (text) Object.assign(text, { textContent: name + away, title: id });
  });
}

/** @param {Room} room */
function makeRoom({ room }) {
  const log = /** @type {HTMLButtonElement} */ (element("button", {}, "Log"));
  const text = element("pre", { hidden: "" });
  log.onclick = async () => {
    text.hidden = !text.hidden;
    if (!text.hidden) text.textContent = await ask(`rooms/${room}/log`).then((answer) => answer.text(), String);
  };
  return element("article", {},
    element("h2"), element("dl"), element("ul"),
    element("div", {}, actButton("Close", `rooms/${room}/close`), actButton("Kill", `rooms/${room}/kill`), log),
    text);
}

/** @param {HTMLElement} article @param {Room} room @param {Player[]} players */
function showRoom(article, room, players) {
  const [title, facts, list] = /** @type {any} */ (article.children);
  const more = [room.private ? "private" : "", room.locked ? "locked" : "", room.state === "running" ? "" : room.state];
  title.textContent = [`Room ${room.room}`, room.kind, ...more.filter(Boolean)].join(", ");
  const values = Object.entries({
    players: `${players.length} of ${room.seats}`,
    age: duration(room.age_s),
    CPU: `${room.cpu_s.toFixed(1)} s`,
    memory: `${(room.memory / 2 ** 20).toFixed(1)} MiB`,
    "tick delay": `${room.tick_delay_ms} ms`,
  });
  facts.replaceChildren(...values.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  showPlayers(list, players);
}

/** @param {number} seconds */
function duration(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

/** @param {Lobby} lobby */
function show({ version, draining_s, lag_ms, hosts, rooms, players }) {
  const closing = draining_s === null ? "" : `, rooms close in ${duration(draining_s)}`;
  $("summary").textContent =
    `rooms: ${rooms.length}, players: ${players.length}, loop lag: ${lag_ms} ms, version ${version}${closing}`;
  $("hosts").replaceChildren(...(hosts ?? []).map((host) => element("li", {}, [
    `Host ${host.name}: ${host.rooms} of ${host.max_rooms} rooms`, `CPU ${Math.round(host.cpu * 100)} %`,
    `version ${host.build}`, ...(host.draining ? ["draining"] : []),
  ].join(", "))));
  keep($("rooms"), rooms, ({ room }) => room, makeRoom, (article, room) =>
    showRoom(article, room, players.filter((player) => player.room === room.room)));
  showPlayers($("players"), players.filter((player) => player.room === null));
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Asks for the state, and shows it or why there is none. */
async function refresh() {
  clearTimeout(timer);
  const answer = await ask("state").catch(() => null);
  const wanted = answer?.status === 401;
  if (answer?.ok) show(await answer.json());
  else if (answer?.status === 429) $("notice").textContent = "Too many wrong tokens. Wait a moment.";
  else if (wanted) $("notice").textContent = sessionStorage.getItem(TOKEN) === null ? "" : "This token is wrong.";
  else $("notice").textContent = "The lobby does not answer.";
  $("lobby").hidden = !answer?.ok;
  $("login").hidden = !wanted && answer?.status !== 429;
  // A wrong token is not sent again: too many shut this address out.
  if (!wanted) timer = setTimeout(refresh, INTERVAL);
}

$("login").onsubmit = (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $("token").value);
  $("notice").textContent = "";
  refresh();
};
$("acts").append(actButton("Drain", "drain"));
refresh();
