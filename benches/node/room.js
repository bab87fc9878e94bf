// One room: a process with a Socket.IO server of its own.

import { createServer } from "node:http";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";

const id = process.argv[2];
const players = new Map();
const http = createServer();
const io = new Server(http, { transports: ["websocket"] });
let quiet = false;

io.use((socket, next) => {
  try {
    const ticket = jwt.verify(socket.handshake.auth.ticket, process.env.KEY);
    if (ticket.room !== id) return next(new Error("bad_ticket"));
    socket.data.you = { id: ticket.id, name: ticket.name };
    next();
  } catch {
    next(new Error("bad_ticket"));
  }
});

io.on("connection", (socket) => {
  const { you } = socket.data;
  if (!quiet) socket.broadcast.emit("player_joined", { player: you });
  players.set(you.id, you);
  socket.emit("joined", { room: id, you, players: quiet ? [you] : [...players.values()] });
  process.send({ players: players.size });
  socket.on("echo", (text, answer) => answer({ ok: text }));
  socket.on("score", (score, answer) => {
    process.send({ score });
    answer({ ok: {} });
  });
  socket.on("disconnect", () => {
    players.delete(you.id);
    io.emit("player_left", { player: you });
    if (process.connected) process.send({ players: players.size });
  });
});

const now = () => Number(process.hrtime.bigint() / 1000n);

// Ticks that do not drift, as setInterval does.
function tick({ hz, bytes, volatile }) {
  const [period, pad] = [1e6 / hz, "x".repeat(bytes)];
  let due = now() + period;
  const target = volatile ? io.volatile : io;
  const next = () => setTimeout(() => {
    target.emit("tick", { due: Math.round(due), sent: now(), pad });
    due += period;
    next();
  }, Math.max(0, (due - now()) / 1000));
  next();
}

process.on("message", ({ open }) => {
  quiet = open.quiet;
  if (open.hz) tick(open);
});
process.on("disconnect", () => process.exit());
http.listen(0, "127.0.0.1", 4096, () => process.send({ port: http.address().port }));
