// Starts rooms, each a process, and keeps a pool of those that wait to be opened.

import { fork } from "node:child_process";

const now = () => performance.timeOrigin + performance.now();
const log = (message, fields) => console.log(JSON.stringify({ message, ms: now(), ...fields }));

export class RoomManager {
  #rooms = new Map();
  #pool = [];
  #size;
  #key;
  #next = 1;
  onChange = () => {};

  constructor(size, key) {
    this.#size = size;
    this.#key = key;
    this.#fill();
  }

  async open(options) {
    const starting = this.#pool.shift() ?? this.#start();
    this.#fill();
    const room = await starting;
    room.process.send({ open: options });
    this.#rooms.set(room.id, room);
    this.onChange();
    return room;
  }

  get(id) {
    return this.#rooms.get(id);
  }

  list() {
    return [...this.#rooms.values()].map(({ id, players, score }) => ({ room: id, players, score }));
  }

  #fill() {
    while (this.#pool.length < this.#size) this.#pool.push(this.#start());
  }

  #start() {
    const room = { id: String(this.#next++), players: 0, score: 0 };
    room.process = fork(new URL("room.js", import.meta.url), [room.id], { env: { ...process.env, KEY: this.#key } });
    log("spawned", { room: room.id, pid: room.process.pid });
    room.process.on("exit", () => this.#rooms.delete(room.id));
    return new Promise((resolve) => {
      room.process.on("message", (message) => {
        if (message.port) {
          room.port = message.port;
          log("room ready", { room: room.id });
          return resolve(room);
        }
        Object.assign(room, message);
        if (this.#rooms.has(room.id)) this.onChange();
      });
    });
  }
}
