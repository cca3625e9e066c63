"""A chat room on one WebSocket for each visitor: ``fastserver examples.chat:app``, then open the address twice.

The room is this process's, so serve it by one worker.
"""

import asyncio
from contextlib import suppress

PAGE = b"""<!doctype html>
<meta charset="utf-8">
<title>A room</title>
<style>
  body { font: 1rem/1.5 sans-serif; max-width: 36rem; margin: 2rem auto }
  input { width: 100%; font: inherit }
</style>
<h1>A room</h1>
<form><input autofocus placeholder="Say something"></form>
<ul></ul>
<script>
  const socket = new WebSocket(location.href.replace(/^http/, "ws"));
  const show = (text) => {
    document.querySelector("ul").prepend(Object.assign(document.createElement("li"), { textContent: text }));
  };
  socket.onmessage = (event) => show(event.data);
  socket.onclose = (event) => show(`closed: ${event.code}`);
  document.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    const field = document.querySelector("input");
    socket.send(field.value);
    field.value = "";
  };
</script>
"""

visitors: dict[str, object] = {}


async def app(scope, receive, send):
    """The page over HTTP, the room over WebSockets."""
    if scope["type"] == "websocket":
        await visit(scope, receive, send)
    elif scope["type"] == "http":
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE})
    else:
        raise NotImplementedError(f"no {scope['type']} here")


async def visit(scope, receive, send):
    """One visitor, from the handshake to the close."""
    await receive()
    await send({"type": "websocket.accept"})
    name = f"visitor {scope['client'][1]}"
    visitors[name] = send
    try:
        await tell(f"{name} has come over HTTP/{scope['http_version']}")
        while (message := await receive())["type"] == "websocket.receive":
            await tell(f"{name}: {message['text']}")
    finally:
        del visitors[name]
    await tell(f"{name} has left ({message['code']})")


async def tell(text):
    """Say it to everybody in the room."""
    await asyncio.gather(*(say(send, text) for send in visitors.values()))


async def say(send, text):
    """Say it to one; whoever has gone in the meantime hears nothing."""
    with suppress(OSError):
        await send({"type": "websocket.send", "text": text})


if __name__ == "__main__":
    import fastserver

    fastserver.run(app)
