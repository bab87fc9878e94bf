// @ts-check
/**
 * Shows how the system works: where the player is, this connection's details, and two logs with one
 * clock, the page's and (in development) the server's. A finished game may do without: delete its parts
 * of `index.html`, and what `client.js` imports from here.
 */

import { parseUrl } from "./connection.js";

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);
/** Lines that a log pane keeps. */
const LINES = 300;
/** Characters of an event's data that a line shows. */
const LENGTH = 240;
/** How long the page waits, in ms, before it asks for the server's log again. */
const PAUSE = 1000;
/** A request that takes longer, in ms, is given up. */
const TIMEOUT = 5000;

/** Tells the player something. @param {string} text */
export function notice(text) {
  $("notice").textContent = text;
}

/** Shows one part of the page. @param {"lobby" | "room" | "stopped"} part */
export function show(part) {
  for (const id of ["lobby", "room", "stopped"]) if ($(id)) $(id).hidden = id !== part;
}

/** A page may do without some of its buttons. @param {string} id @param {() => void} call */
function on(id, call) {
  if ($(id)) $(id).onclick = call;
}

/** @param {import("./cluster.js").Cluster} cluster */
export function devPanel(cluster) {
  const as = Number(new URLSearchParams(location.search).get("as") ?? 1);
  if ($("another")) $("another").href = `?as=${as + 1}`;
  on("drop", () => cluster.drop());
  on("kill", () => fetch(`/dev/rooms/${cluster.room.id}/kill`, { method: "POST" }));
  let last = "", row = 0;
  cluster.watch((what, detail) => {
    // Of what comes many times a second, one line tells enough.
    row = what === last ? row + 1 : 1;
    last = what;
    if (row === 1) log("client-log", new Date(), what, detail);
    if (row === 2) log("client-log", new Date(), `… and more of: ${what}`);
    refresh(cluster, what === "lobby: reroute" ? detail : null);
  });
  watchServer();
}

/** @param {import("./cluster.js").Cluster} cluster @param {any} reroute */
function refresh(cluster, reroute) {
  const { state, you, room: { id: room } } = cluster;
  document.body.dataset.state = state;
  const hop = { connecting: "you", lobby: "lobby", rerouting: "lobby", room: "room", stopped: "you" }[state];
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
 * In development the lobby tells what it and the rooms log. The page asks again and again: an answer without an
 * end would hold one of the six connections that a browser has to a host, and the seventh tab would not load.
 */
async function watchServer() {
  const development = await ask("/dev").then((answer) => answer.text());
  if (development !== "on") return;
  for (const part of document.querySelectorAll(".dev")) /** @type {any} */ (part).hidden = false;
  for (let last = 0; ; await new Promise((resolve) => setTimeout(resolve, PAUSE))) {
    if (document.hidden) continue;
    // If the lobby is not there, the browser says so on the console.
    const news = await ask(`/dev/log?after=${last}`).then((answer) => answer.json()).catch(() => null);
    for (const line of news?.lines ?? []) logLine(line);
    last = news?.last ?? last;
  }
}

/** A request that ends, whatever becomes of the lobby. @param {string} path */
function ask(path) {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), TIMEOUT);
  return fetch(path, { signal: controller.signal });
}

/** @param {string} line of the server's log */
function logLine(line) {
  const [, time, level, text] = /^(\S+)\s+([A-Z]+)\s+(.*)$/.exec(line) ?? [null, "", "", line];
  log("server-log", time ? new Date(time) : new Date(), text, null, level);
}

/**
 * @param {string} pane @param {Date} time @param {string} what @param {any} [detail] @param {string} [level]
 */
function log(pane, time, what, detail, level = "INFO") {
  const list = $(pane);
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const row = document.createElement("li");
  const clock = document.createElement("time");
  clock.textContent = time.toTimeString().slice(0, 8) + "." + String(time.getMilliseconds()).padStart(3, "0");
  const data = inWords(detail);
  const hidden = data.replace(/("(?:token|ticket)":")[^"]+/g, "$1…");
  row.append(clock, ` ${what} ${hidden.length > LENGTH ? `${hidden.slice(0, LENGTH)} …` : hidden}`);
  row.dataset.level = level;
  list.append(row);
  while (list.childElementCount > LINES) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** @param {any} detail */
function inWords(detail) {
  if (detail instanceof ArrayBuffer || ArrayBuffer.isView(detail)) return `${detail.byteLength} bytes`;
  return detail && Object.keys(detail).length > 0 ? JSON.stringify(detail, short) : "";
}

/** Three digits are enough to follow a number. @param {string} _ @param {any} value */
const short = (_, value) => (typeof value === "number" ? Math.round(value * 1000) / 1000 : value);
