"""An application that answers with the certificate that the connection was shown, by the ASGI ``tls`` extension."""

from tests.e2e.applications import Message, Receive, Send


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return
    body = scope["extensions"]["tls"]["server_cert"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
