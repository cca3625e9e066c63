"""The smallest application: ``fastserver examples.hello:app``, or ``python -m examples.hello``."""


async def app(scope, receive, send):
    """An ASGI application is a callable: what was asked, where to read from, where to answer."""
    if scope["type"] != "http":
        raise NotImplementedError(f"no {scope['type']} here")
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"14")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!\n"})


if __name__ == "__main__":
    import fastserver

    fastserver.run(app)
