"""Values that mean something else under another server's name."""

from typing import Any

import pytest

from fastserver.config import Config, ConfigError
from fastserver.config.bind import TCPBind


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"workers_max_rss": 512}, {"worker_max_rss": 512 << 20}),
        ({"workers_max_rss": "512"}, {"worker_max_rss": 512 << 20}),
        ({"workers_max_rss": "1g"}, {"worker_max_rss": 1 << 30}),
        ({"worker_max_rss": 512}, {"worker_max_rss": 512}),
        ({"reload_tick": 50}, {"reload_delay": 0.05}),
        ({"reload_tick": "1s"}, {"reload_delay": 1}),
        ({"http1_header_read_timeout": "30000"}, {"timeout_request_header": 30}),
        ({"pythonpath": "src"}, {"app_dir": "src"}),
        ({"logconfig_dict": {}}, {}),
        ({"protocol": "http"}, {}),
        ({"protocols": ["http", "a:1=m:P"]}, {"protocols": "a:1=m:P"}),
        ({"worker_class": "sync"}, {"threads": 1}),
        ({"worker_class": "sync", "threads": 4}, {"threads": 4}),
        ({"worker_class": "gunicorn.workers.sync.SyncWorker"}, {"threads": 1}),
        ({"worker_class": "gthread"}, {}),
        ({"worker_class": "uvicorn_worker.UvicornH11Worker"}, {"loop": "asyncio"}),
    ],
)
def test_values(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Config.from_mapping(given) == Config(**expected)


def test_an_address_as_gunicorn_has_it() -> None:
    assert Config(bind="tcp://a:1").binds == (TCPBind("a", 1),)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"pythonpath": "a,b"}, "pythonpath: 'a,b' is not supported: want one directory; PYTHONPATH takes several"),
        ({"protocol": "uwsgi"}, "protocol: 'uwsgi' is not supported: want http, and a proxy in front that speaks it"),
        ({"protocol": "wsgi", "interface": "asgi3"}, "protocol: 'wsgi' is given beside interface: give one of them"),
        ({"workers_max_rss": "x"}, "worker_max_rss: 'x' is not allowed: want a size"),
        ({"worker_class": "gevent"}, "loop: 'gevent' is not supported, threads run WSGI applications: want one of"),
    ],
)
def test_refusals(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(given)
    assert str(caught.value).startswith(line)
