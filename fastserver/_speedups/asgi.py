"""What the exchange needs to know of ASGI applications beyond their messages: how they are called, what their failures
mean, and what their scopes may share.  Not compiled: nothing here runs in an ordinary request.
"""

from inspect import iscoroutinefunction

from .contract import ClientDisconnected


class Constants(dict):
    """A dictionary that all scopes share, so it refuses to change."""

    def _refuse(self, *args, **kwargs):
        raise TypeError("this part of the scope is the same for all requests; copy it to change it")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):
        return dict, (dict(self),)

    def __copy__(self):
        return dict(self)

    def __deepcopy__(self, memo):
        return dict(self)


def is_disconnect(failure):
    """Whether ``failure`` comes of nothing but ``ClientDisconnected``: itself, in exception groups (B4), or as cause
    or context of the framework's own exception for it."""
    if isinstance(failure, ClientDisconnected):
        return True
    parts = getattr(failure, "exceptions", None)
    if isinstance(parts, tuple) and parts:
        return all(is_disconnect(part) for part in parts)
    origin = failure.__cause__ or failure.__context__
    # A builtin exception that was raised while handling it is a fault of the handler, and no framework's name for it.
    return origin is not None and type(failure).__module__ != "builtins" and is_disconnect(origin)


def as_coroutine_function(app):
    """``app``, so that calling it runs nothing of it: what it does belongs into its own task and context."""
    if iscoroutinefunction(app) or iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004
        return app

    async def call(scope, receive, send):
        await app(scope, receive, send)

    return call
