"""python-socketio as a player, its blocking and its asyncio client: `python3 client.py URL`. Exits at the first
difference. The asyncio client's `disconnect()` sends no Socket.IO disconnect, so a room takes it for a lost connection;
`leave_room` leaves for good."""

import asyncio
import sys

import socketio

TIMEOUT = 20  # seconds; longer than anything takes that works
WEBSOCKET = ["websocket"]


class Blocking:
    """The blocking client with the asyncio client's methods."""

    def __init__(self):
        self.client = socketio.SimpleClient()

    async def connect(self, *args, **options):
        self.client.connect(*args, **options)

    async def disconnect(self):
        self.client.disconnect()

    async def emit(self, *args):
        self.client.emit(*args)

    async def call(self, *args, **options):
        return self.client.call(*args, **options)

    async def receive(self, **options):
        return self.client.receive(**options)


async def connected(new, url, path="socket.io", **auth):
    client = new()
    await client.connect(url, auth=auth, transports=WEBSOCKET, socketio_path=path, wait_timeout=TIMEOUT)
    return client


async def event(client, name):
    """The data of the next event of this name; drops those before it."""
    while True:
        heard, *data = await client.receive(timeout=TIMEOUT)
        if heard == name:
            assert len(data) == 1, data
            return data[0]


async def ask(client, name, data=None):
    answer = await client.call(name, data, timeout=TIMEOUT)
    assert list(answer) in (["ok"], ["error"]), answer
    return answer.get("ok", answer.get("error"))


async def enter(new, url, lobby):
    """From the lobby into the room to which it reroutes."""
    at = await event(lobby, "reroute")
    assert (at["to"], at["url"]) == ("room", ""), at
    await lobby.disconnect()
    room = await connected(new, url, at["path"], ticket=at["ticket"])
    joined = await event(room, "joined")
    assert joined["room"] == at["room"], joined
    return room, joined


async def story(new, url):
    lobby = await connected(new, url)
    welcome = await event(lobby, "welcome")
    assert welcome["you"] is None and welcome["version"] == 4, welcome
    assert (await ask(lobby, "play"))["code"] == "not_registered"
    answer = await ask(lobby, "register", {"name": "Žofie ⛵"})
    token, you = answer["token"], answer["you"]
    assert you["name"] == "Žofie ⛵", you
    print("ok: registers")

    assert (await ask(lobby, "play", ({}, "x")))["code"] == "bad_message"
    await lobby.emit("no_such_event", {})
    assert (await event(lobby, "refused"))["code"] == "unknown_event"
    print("ok: is refused, with an ack and without")

    await ask(lobby, "play")
    room, joined = await enter(new, url, lobby)
    assert joined["you"] == you, joined
    assert [dot["id"] for dot in (await event(room, "state"))["dots"]] == [you["id"]]
    assert await ask(room, "steer", {"x": 1, "y": 0}) == {}
    assert (await ask(room, "steer", {"x": "fast"}))["code"] == "bad_message"
    print("ok: plays in a room")

    # This room takes no bytes: its default `on_binary` refuses them.
    assert (await ask(room, "binary", b"\x00\x01\xff"))["code"] == "unknown_event"
    assert (await ask(room, "binary", (b"1", b"2")))["code"] == "bad_message"
    assert (await ask(room, "steer", {"x": b"1", "y": 0}))["code"] == "bad_message"
    print("ok: sends bytes")

    await room.disconnect()
    lobby = await connected(new, url, token=token)
    welcome = await event(lobby, "welcome")
    assert welcome["you"] == you, welcome
    assert welcome["returned"]["room"] == joined["room"], welcome
    # The asyncio client sends no `41`. The blocking one may close the websocket before it does.
    code = welcome["returned"]["reason"]["code"]
    assert code == "dropped" or new is Blocking and code == "left", welcome
    if code == "left":
        await ask(lobby, "join", {"room": joined["room"]})
    # Otherwise the room keeps the seat, and the lobby reroutes without being asked.
    room, joined = await enter(new, url, lobby)
    print("ok: returns with the token")

    assert await ask(room, "leave_room") == {}
    left = {"code": "left"}
    assert await event(room, "reroute") == {"to": "lobby", "reason": left}
    await room.disconnect()
    lobby = await connected(new, url, token=token)
    welcome = await event(lobby, "welcome")
    assert welcome["returned"] == {"room": joined["room"], "reason": left}, welcome
    print("ok: leaves a room and is sure of it")

    assert await ask(lobby, "logout", {"token": token}) == {}
    assert (await event(lobby, "refused"))["code"] == "logged_out"
    await lobby.disconnect()
    print("ok: logs out")


for client in [Blocking, socketio.AsyncSimpleClient]:
    print(f"-- {client.__name__}")
    asyncio.run(asyncio.wait_for(story(client, sys.argv[1]), 3 * TIMEOUT))
