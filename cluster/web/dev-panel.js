// @ts-check
/**
 * The development panel: where the player is, the connection's details, and the logs of the page and
 * (in development) of the server, with one clock. A finished game can remove it: delete its parts of
 * `index.html`, and the imports in `client.js`.
 */

import { parseUrl } from "./connection.js";

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);
/** Lines kept in each log. */
const MAX_LINES = 300;
/** Characters of an event's data shown in a line. */
const MAX_DATA = 240;
/** How often the server's log is polled, in ms. */
const POLL_INTERVAL = 1000;
/** Timeout of such a request, in ms. */
const POLL_TIMEOUT = 5000;

/** Shows a message to the player. @param {string} text */
export function notice(text) {
  $("notice").textContent = text;
}

/** Shows one part of the page. @param {"lobby" | "room" | "stopped"} part */
export function show(part) {
  for (const id of ["lobby", "room", "stopped"]) if ($(id)) $(id).hidden = id !== part;
}

/** Handles clicks on a button, if the page has it. @param {string} id @param {() => void} call */
function onClick(id, call) {
  if ($(id)) $(id).onclick = call;
}

/** @param {import("./cluster.js").Cluster} cluster */
export function devPanel(cluster) {
  const as = Number(new URLSearchParams(location.search).get("as") ?? 1);
  if ($("another")) $("another").href = `?as=${as + 1}`;
  onClick("drop", () => cluster.drop());
  onClick("kill", () => fetch(`/dev/rooms/${cluster.room.id}/kill`, { method: "POST" }));
  let last = "", repeats = 0;
  cluster.watch((what, detail) => {
    // An event that comes many times a second gets two lines.
    repeats = what === last ? repeats + 1 : 0;
    last = what;
    if (repeats === 0) log("client-log", new Date(), what, detail);
    if (repeats === 1) log("client-log", new Date(), `… and more of: ${what}`);
    refresh(cluster, what === "lobby: reroute" ? detail : null);
  });
  watchServer();
}

/** @param {import("./cluster.js").Cluster} cluster @param {any} reroute */
function refresh(cluster, reroute) {
  const { state, you, room: { id: room } } = cluster;
  document.body.dataset.state = state;
  const hop = {
    connecting: "you", lobby: "lobby", rerouting: "lobby", room: "room", stopped: "you",
  }[state];
  for (const item of document.querySelectorAll("[data-hop]")) {
    if (item.getAttribute("data-hop") === hop) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  $("hop-you").textContent = you?.name ?? "you";
  $("hop-room").textContent = room ? `room ${room}` : "room";
  const url = reroute && parseUrl(reroute.path, reroute.url || location.origin);
  if (url) $("details").dataset.room = url.host + url.pathname.replace(/\/socket\.io$/, "");
  const where = room ? $("details").dataset.room : location.host;
  const player = you?.name ?? "not registered";
  const rows = { State: state, Player: player, Id: you?.id ?? "–", Room: room ?? "–", Server: where };
  $("details").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, text.textContent] = [name, value];
    return [term, text];
  }));
}

/**
 * Polls the log of lobby and rooms, which the lobby serves in development. A streamed response would
 * hold one of the browser's six connections to a host, and a seventh tab would not load.
 */
async function watchServer() {
  const development = await get("/dev").then((answer) => answer.text());
  if (development !== "on") return;
  for (const part of document.querySelectorAll(".dev")) /** @type {any} */ (part).hidden = false;
  for (let last = 0; ; await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL))) {
    if (document.hidden) continue;
    // The browser logs a failed request to the console.
    const answer = await get(`/dev/log?after=${last}`).catch(() => null);
    const news = await answer?.json().catch(() => null);
    for (const line of news?.lines ?? []) logLine(line);
    last = news?.last ?? last;
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
  const row = document.createElement("li");
  const clock = document.createElement("time");
  clock.textContent = time.toTimeString().slice(0, 8) + "." + String(time.getMilliseconds()).padStart(3, "0");
  const data = format(detail).replace(/("(?:token|ticket)":")[^"]+/g, "$1…");
  row.append(clock, ` ${what} ${data.length > MAX_DATA ? `${data.slice(0, MAX_DATA)} …` : data}`);
  row.dataset.level = level;
  list.append(row);
  while (list.childElementCount > MAX_LINES) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** @param {any} detail */
function format(detail) {
  const isBinary = detail instanceof ArrayBuffer || ArrayBuffer.isView(detail);
  if (isBinary) return `${detail.byteLength} bytes`;
  return detail && Object.keys(detail).length > 0 ? JSON.stringify(detail, rounded) : "";
}

/** Rounds numbers to three decimals. @param {string} _ @param {any} value */
const rounded = (_, value) => (typeof value === "number" ? Math.round(value * 1000) / 1000 : value);
