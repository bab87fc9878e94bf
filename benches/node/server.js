// The original design in Node: a main server for people, rooms in processes of their own, and a
// token with which a player moves from one to the other.

import { createServer } from "node:http";
import { randomBytes, randomUUID } from "node:crypto";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";
import { RoomManager } from "./room_manager.js";

const KEY = randomBytes(32).toString("hex");
const http = createServer();
const io = new Server(http, { transports: ["websocket"] });
const rooms = new RoomManager(Number(process.argv[2] ?? 0), KEY);

io.use((socket, next) => {
  const { token } = socket.handshake.auth;
  if (!token) return next();
  try {
    const { id, name } = jwt.verify(token, KEY);
    socket.data.you = { id, name };
    next();
  } catch {
    next(new Error("bad_token"));
  }
});

io.on("connection", (socket) => {
  const reroute = (room) => {
    const ticket = jwt.sign({ ...socket.data.you, room: room.id }, KEY, { expiresIn: "15s" });
    socket.emit("reroute", { url: `http://127.0.0.1:${room.port}`, path: "/socket.io", ticket });
  };
  socket.emit("welcome", { you: socket.data.you ?? null });
  socket.on("register", ({ name }, answer) => {
    socket.data.you = { id: randomUUID(), name };
    answer({ ok: { you: socket.data.you, token: jwt.sign(socket.data.you, KEY, { expiresIn: "30d" }) } });
  });
  socket.on("open", async (options, answer) => answer({ ok: (await rooms.open(options)).id }));
  socket.on("create", async (options) => reroute(await rooms.open(options)));
  socket.on("join", ({ room }) => reroute(rooms.get(room)));
  socket.on("nothing", (_, answer) => answer({ ok: {} }));
  socket.on("watch_rooms", () => {
    socket.join("watchers");
    socket.emit("rooms", rooms.list());
  });
});

rooms.onChange = () => io.to("watchers").emit("rooms", rooms.list());

http.listen(0, "127.0.0.1", 4096, () => {
  console.log(JSON.stringify({ message: "lobby ready", url: `http://127.0.0.1:${http.address().port}` }));
});
