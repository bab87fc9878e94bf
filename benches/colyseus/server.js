// A room of Colyseus that echoes, announces players, and ticks. All rooms are in this process.

import { createServer } from "node:http";
import { Room, Server, matchMaker } from "@colyseus/core";
import { WebSocketTransport } from "@colyseus/ws-transport";

const now = () => Number(process.hrtime.bigint() / 1000n);

class Bench extends Room {
  onCreate({ hz = 0, bytes = 0, quiet = false }) {
    this.autoDispose = false;
    this.maxClients = 100_000;
    this.quiet = quiet;
    this.onMessage("echo", (client, text) => client.send("echo", text));
    if (hz) this.tick(1e6 / hz, "x".repeat(bytes));
  }

  onJoin(client) {
    if (!this.quiet) this.broadcast("player_joined", client.sessionId, { except: client });
  }

  // Ticks that do not drift, as setInterval does.
  tick(period, pad) {
    let due = now() + period;
    const next = () => setTimeout(() => {
      this.broadcast("tick", { due: Math.round(due), sent: now(), pad });
      due += period;
      next();
    }, Math.max(0, (due - now()) / 1000));
    next();
  }
}

const http = createServer();
const server = new Server({ transport: new WebSocketTransport({ server: http }), greet: false });
server.define("bench", Bench);
await server.listen(0, "127.0.0.1", 4096);
// Further rooms are created on order, so that a room can be there before its players.
process.stdin.on("data", async (line) => {
  const room = await matchMaker.createRoom("bench", JSON.parse(line));
  console.log(JSON.stringify({ message: "room open", room: room.roomId }));
});
process.stdin.on("end", () => process.exit());
console.log(JSON.stringify({ message: "lobby ready", url: `http://127.0.0.1:${http.address().port}` }));
