// @ts-check
/**
 * The development panel: where the player is, the connection's details, and the logs of the page and
 * of the server, with one clock. It is there in development alone, builds its elements itself, and
 * reloads the page when the lobby has been started again. One line of `client.js` adds it.
 */

import { parseUrl } from "./connection.js";

/** @typedef {import("./cluster.js").Cluster} Cluster */

/** Lines kept in each log. */
const MAX_LINES = 300;
/** Characters shown of an event's data, and of the room's state. */
const MAX_DATA = 240;
/** An event that comes again within this time, in ms, is not shown again. */
const BURST = 200;
/** How often the server's log is polled, in ms. */
const POLL_INTERVAL = 1000;
/** Timeout of such a request, in ms. */
const POLL_TIMEOUT = 5000;
/** The key of "open" or "folded", as the player last chose. */
const STORED = "dev-panel";

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

/** Adds the panel to the page, in development. @param {Cluster} cluster */
export async function devPanel(cluster) {
  // Events are kept until the lobby has answered.
  const early = /** @type {[Date, string, any][]} */ ([]);
  let record = (/** @type {[Date, string, any]} */ ...event) => void early.push(event);
  cluster.watch((what, detail) => record(new Date(), what, detail));
  const development = await get(`${cluster.home.base}/dev`).then((answer) => answer.text()).catch(() => "off");
  if (development !== "on") {
    early.length = 0;
    record = () => {};
    return;
  }
  await addStyles();
  addPanel(cluster);
  const latest = /** @type {Map<string, { at: number, repeats: number }>} */ (new Map());
  record = (time, what, detail) => {
    // An event that comes many times a second gets two lines.
    const before = latest.get(what);
    const repeats = before && time.getTime() - before.at < BURST ? before.repeats + 1 : 0;
    latest.set(what, { at: time.getTime(), repeats });
    if (repeats === 0) log("client-log", time, what, detail);
    if (repeats === 1) log("client-log", time, `… and more of: ${what}`);
    queueMicrotask(() => refresh(cluster)); // the client has handled the event by then
  };
  early.forEach((event) => record(...event));
  refresh(cluster);
  watchServer(cluster);
}

/** Resolves when they are loaded, or cannot be. */
function addStyles() {
  const href = new URL("./dev-panel.css", import.meta.url).href;
  const link = /** @type {HTMLLinkElement} */ (element("link", { rel: "stylesheet", href }));
  return new Promise((resolve) => {
    link.onload = link.onerror = resolve;
    document.head.append(link);
  });
}

/** @param {Cluster} cluster */
function addPanel(cluster) {
  const as = Number(new URLSearchParams(location.search).get("as") ?? 1);
  const summary = element("summary", {}, "Development ", element("span", { id: "hops" },
    element("span", { "data-hop": "you" }, element("span", { id: "hop-you" })),
    element("span", { "data-hop": "lobby" }, element("span", {}, "lobby")),
    element("span", { "data-hop": "room" }, element("span", { id: "hop-room" }))));
  const panel = /** @type {HTMLDetailsElement} */ (element("details", { id: "dev-panel" },
    summary,
    element("p", {},
      element("button", { id: "kill", title: "Kills this room's process" }, "Kill this room"),
      element("button", { id: "drop", title: "Closes the connection as a bad network would" },
        "Drop the connection"),
      element("a", { id: "another", href: `?as=${as + 1}`, target: "_blank", rel: "noopener" },
        "Another player in a new tab")),
    element("dl", { id: "details" }),
    element("div", { id: "logs" },
      logElement("client-log", "This page"),
      logElement("server-log", "The server: lobby and rooms"))));
  panel.open = stored() ?? !matchMedia("(max-width: 48rem)").matches;
  summary.onclick = () => store(!panel.open);
  // A folded log does not scroll.
  panel.ontoggle = () => panel.querySelectorAll("ol").forEach((list) => (list.scrollTop = list.scrollHeight));
  document.body.append(panel);
  $("drop").onclick = () => cluster.drop();
  $("kill").onclick = () => fetch(`${cluster.home.base}/dev/rooms/${cluster.room.id}/kill`, { method: "POST" });
}

/** @param {string} id @param {string} title */
const logElement = (id, title) => element("figure", {},
  element("figcaption", {}, title), element("ol", { id, tabindex: "0", "aria-label": title }));

/**
 * @param {string} tag @param {Record<string, string>} attributes @param {(Node | string)[]} children
 */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Whether the panel was open, if the player has chosen. */
function stored() {
  try {
    const choice = sessionStorage.getItem(STORED);
    return choice ? choice === "open" : null;
  } catch {
    return null; // Storage is blocked.
  }
}

/** @param {boolean} open */
function store(open) {
  try {
    sessionStorage.setItem(STORED, open ? "open" : "folded");
  } catch {} // The next page decides by its width.
}

/** @param {Cluster} cluster */
function refresh({ state, you, room: { id: room, socket, state: shown } }) {
  const { uri, opts } = /** @type {any} */ (socket?.io ?? {});
  const url = parseUrl(opts?.path ?? "", uri ?? location.origin);
  const rows = Object.entries({
    State: state, Player: you?.name ?? "not registered", Id: you?.id ?? "–", Room: room ?? "–",
    Server: url ? (url.host + url.pathname).replace(/(\/socket\.io)?\/?$/, "") : "–",
    ...(shown !== null && { "Room state": cut(JSON.stringify(shown, rounded)) }),
  });
  const details = $("details");
  // Most events change nothing here.
  if (details.textContent === rows.flat().join("")) return;
  details.replaceChildren(...rows.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", { dir: "auto" }, value))));
  $("hop-you").textContent = you?.name ?? "you";
  $("hop-room").textContent = room ? `room ${room}` : "room";
  $("kill").disabled = !room;
  const hop = {
    connecting: "you", lobby: "lobby", rerouting: "lobby", room: "room", stopped: "you",
  }[state];
  for (const item of $("hops").children) {
    if (item.getAttribute("data-hop") === hop) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
}

/**
 * Polls the log of lobby and rooms, which the lobby serves in development. A streamed response would
 * hold one of the browser's six connections to a host, and a seventh tab would not load.
 * @param {Cluster} cluster
 */
async function watchServer(cluster) {
  let wake = () => {};
  document.addEventListener("visibilitychange", () => wake());
  // Perhaps the lobby has been started again.
  cluster.watch((what) => what === "lobby: welcome" && wake());
  const pause = () => new Promise((resolve) => {
    wake = () => resolve(null);
    setTimeout(resolve, POLL_INTERVAL);
  });
  for (let last = 0, start = 0; ; await pause()) {
    if (document.hidden) continue;
    // The browser logs a failed request to the console.
    const answer = await get(`${cluster.home.base}/dev/log?after=${last}`).catch(() => null);
    const news = await answer?.json().catch(() => null);
    if (!news) continue;
    start ||= news.start;
    if (news.start !== start) return location.reload();
    for (const line of news.lines) logLine(line);
    last = news.last;
  }
}

/** A request with a timeout. @param {string} path */
function get(path) {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), POLL_TIMEOUT);
  return fetch(path, { signal: controller.signal });
}

/** @param {string} line of the server's log */
function logLine(line) {
  const [, time, level, text] = /^(\S+)\s+([A-Z]+)\s+(.*)$/.exec(line) ?? [null, "", "", line];
  log("server-log", time ? new Date(time) : new Date(), text, null, level);
}

/**
 * @param {string} pane @param {Date} time @param {string} what @param {any} [detail]
 * @param {string} [level]
 */
function log(pane, time, what, detail, level = "INFO") {
  const list = $(pane);
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const clock = time.toTimeString().slice(0, 8) + "." + String(time.getMilliseconds()).padStart(3, "0");
  const data = format(detail).replace(/("(?:token|ticket|password)":")[^"]+/g, "$1…");
  const text = ` ${what} ${cut(data)}`;
  list.append(element("li", { "data-level": level }, element("time", {}, clock), text));
  while (list.childElementCount > MAX_LINES) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** @param {string} data */
const cut = (data) => (data.length > MAX_DATA ? `${data.slice(0, MAX_DATA)} …` : data);

/** @param {any} detail */
function format(detail) {
  const isBinary = detail instanceof ArrayBuffer || ArrayBuffer.isView(detail);
  if (isBinary) return `${detail.byteLength} bytes`;
  return detail && Object.keys(detail).length > 0 ? JSON.stringify(detail, rounded) : "";
}

/** Rounds numbers to three decimals. @param {string} _ @param {any} value */
const rounded = (_, value) => (typeof value === "number" ? Math.round(value * 1000) / 1000 : value);
