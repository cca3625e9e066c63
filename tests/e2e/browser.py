"""The application of the browser's test: one page that tries everything and reports, and what it tries.

``/report`` answers once the page has said how it went.
"""

import asyncio
from typing import Any

from tests.e2e.applications import Message, Receive, Send, follow_lifespan

PAGE = b"""<!doctype html><title>test</title><script type="module">
const found = {};
async function attempt(name, work) {
  try { found[name] = await work(); } catch (error) { found[name] = `failed: ${error}`; }
}
await attempt("page", () => performance.getEntriesByType("navigation")[0].nextHopProtocol);
await attempt("fetch", async () => {
  await (await fetch("/hello")).text();
  return performance.getEntriesByName(new URL("/hello", location).href)[0].nextHopProtocol;
});
await attempt("many", async () => {
  const answers = await Promise.all([...Array(200).keys()].map(n => fetch(`/hello?${n}`).then(a => a.text())));
  return answers.every((text, n) => text == `hello ${n}`);
});
await attempt("upload", async () => {
  let turn = 0;
  const body = new ReadableStream({
    async pull(controller) {
      await new Promise(done => setTimeout(done, 5));
      if (turn == 20) controller.close(); else controller.enqueue(new TextEncoder().encode(`part ${turn++},`));
    },
  });
  const answer = await fetch("/upload", {method: "POST", body, duplex: "half"});
  return await answer.text();
});
await attempt("large upload", async () => {
  const answer = await fetch("/upload", {method: "POST", body: new Uint8Array(5_000_000)});
  return (await answer.arrayBuffer()).byteLength;
});
await attempt("events", () => new Promise((done, fail) => {
  const source = new EventSource("/events"), seen = [];
  source.onmessage = event => {
    if (seen.push(event.data) == 5) { source.close(); done(seen.join(" ")); }
  };
  source.onerror = () => fail("the stream broke");
}));
await attempt("aborted", async () => {
  const control = new AbortController();
  const answer = await fetch("/endless", {signal: control.signal});
  await answer.body.getReader().read();
  control.abort();
  return await (await fetch("/hello?again")).text();
});
const talk = url => new Promise((done, fail) => {
  const socket = new WebSocket(url, ["chat"]), seen = [];
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    seen.push(socket.protocol, socket.extensions.split(";")[0]);
    const messages = ["text \\u20ac", new Uint8Array(100000), "x".repeat(100000), "close"];
    messages.forEach(message => socket.send(message));
  };
  socket.onmessage = ({data}) => seen.push(data.length > 10 ? data.length : data.byteLength ?? data);
  socket.onclose = event => { seen.push(event.code, event.reason, event.wasClean); done(seen.join("|")); };
  socket.onerror = () => fail("no session");
});
const address = `${location.protocol == "https:" ? "wss" : "ws"}://${location.host}/socket`;
await attempt("socket", () => talk(address));
await attempt("second socket", () => talk(address));
await fetch("/report", {method: "POST", body: JSON.stringify(found)});
</script>"""

_report: "asyncio.Future[bytes] | None" = None


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await follow_lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _talk(scope, receive, send)
    else:
        await WAYS.get(scope["path"], _hello)(scope, receive, send)


async def _respond(send: Send, body: bytes, kind: bytes = b"text/plain") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})


async def _hello(scope: Message, receive: Receive, send: Send) -> None:
    await _respond(send, b"hello " + bytes(scope["query_string"]))


async def _page(scope: Message, receive: Receive, send: Send) -> None:
    await _respond(send, PAGE, b"text/html")


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


async def _upload(scope: Message, receive: Receive, send: Send) -> None:
    await _respond(send, await _read(receive))


async def _events(scope: Message, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(1000):
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        await asyncio.sleep(0.01)


async def _endless(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    while True:
        await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})


async def _take_report(scope: Message, receive: Receive, send: Send) -> None:
    """POST brings the report, GET waits for it."""
    global _report
    if _report is None:
        _report = asyncio.get_running_loop().create_future()
    if scope["method"] == "POST":
        _report.set_result(await _read(receive))
    await _respond(send, await _report, b"application/json")


async def _talk(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
    await send({"type": "websocket.send", "text": scope["http_version"]})
    while (message := await receive())["type"] == "websocket.receive":
        if message["text"] == "close":
            await send({"type": "websocket.close", "code": 3333, "reason": "as asked"})
            return
        await send({"type": "websocket.send", "text": message["text"], "bytes": message["bytes"]})


WAYS: dict[str, Any] = {
    "/": _page,
    "/upload": _upload,
    "/events": _events,
    "/endless": _endless,
    "/report": _take_report,
}
