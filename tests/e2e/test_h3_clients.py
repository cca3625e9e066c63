"""HTTP/3 as curl and qh3 speak it: bodies both ways, streams, fields, and everything at once on one connection."""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Iterator

import pytest

pytest.importorskip("aioquic")

from tests.e2e.conftest import Served
from tests.e2e.h3application import EVENTS, hash_flood
from tests.e2e.h3clients import CLIENTS, Client, Curl, Niquests, follow_with_curl, wait_until
from tests.e2e.processes import PATIENCE_S
from tests.e2e.streams import make_bytes

APP = "tests.e2e.h3application:app"
BODY = make_bytes(5_000_000)


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest, http3: Served, authority: str) -> Iterator[Client]:
    one = CLIENTS[request.param](http3.port, authority)
    yield one
    one.close()


@pytest.fixture
def curl(http3: Served, authority: str) -> Iterator[Curl]:
    one = Curl(http3.port, authority)
    yield one
    one.close()


def test_it_gets(client: Client, http3: Served) -> None:
    answer = client.fetch("/?question")
    assert answer.status == 200
    assert answer.body == f"GET 3 {http3.pids[0]} question".encode()
    assert int(answer.fields["content-length"]) == len(answer.body)


def test_head_has_no_body(client: Client) -> None:
    answer = client.fetch("/flood?100000", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.fields["content-length"] == "100000"


def test_nothing_there_is_404(client: Client) -> None:
    answer = client.fetch("/missing")
    assert (answer.status, answer.body) == (404, b"nothing")


@pytest.mark.parametrize("size", [0, 1, 1200, 65537, 5_000_000])
def test_bodies_come_whole(client: Client, size: int) -> None:
    sent = client.fetch("/digest", "POST", BODY[:size])
    assert sent.body.decode() == f"{size} {hashlib.sha256(BODY[:size]).hexdigest()}"
    assert client.fetch(f"/bytes?{size}").body == BODY[:size]


def test_what_is_posted_comes_back_as_it_comes(curl: Curl) -> None:
    """niquests reads nothing before it has written everything."""
    assert curl.fetch("/echo", "POST", BODY).body == BODY


def test_a_streamed_response_comes_in_pieces(client: Client) -> None:
    found = hashlib.sha256()
    pieces: list[int] = []

    def take(piece: bytes) -> None:
        found.update(piece)
        pieces.append(len(piece))

    assert client.stream("/flood?3000000", take).status == 200
    assert found.hexdigest() == hash_flood(3_000_000)
    assert len(pieces) > 10


def test_events_come_one_by_one(client: Client) -> None:
    pieces: list[bytes] = []
    answer = client.stream("/events", pieces.append)
    assert answer.fields["content-type"] == "text/event-stream"
    assert [piece for piece in pieces if piece] == [b"data: %d\n\n" % number for number in range(EVENTS)]


def test_an_early_response_ends_the_upload(client: Client) -> None:
    answer = client.fetch("/refuse", "POST", BODY)
    assert (answer.status, answer.body) == (403, b"no")
    assert client.fetch("/?again").status == 200


@pytest.mark.parametrize("size", [1000, 4000])  # qh3 encodes no field of 8,000 bytes
def test_large_fields_go_both_ways(client: Client, size: int) -> None:
    answer = client.fetch("/fields", fields=[("x-large", "v" * size), ("x-small", "s")])
    assert answer.fields["x-large"] == "v" * size
    assert answer.fields["x-small"] == "s"


def test_many_fields_go_both_ways(client: Client) -> None:
    fields = [(f"x-field-{number}", f"value {number}") for number in range(60)]
    answer = client.fetch("/fields", fields=fields)
    assert {name: value for name, value in answer.fields.items() if name.startswith("x-")} == dict(fields)


def test_too_large_fields_are_refused_and_nothing_else_is(curl: Curl) -> None:
    assert curl.fetch("/fields", fields=[("x-large", "v" * 40_000)]).status == 431
    assert curl.fetch("/?after").status == 200


def test_requests_share_one_connection(client: Client) -> None:
    assert len({client.fetch("/port").body for _ in range(10)}) == 1


def test_an_application_that_fails_in_the_middle_resets_its_stream_alone(curl: Curl) -> None:
    from curl_cffi.requests.exceptions import RequestException

    before = curl.fetch("/port").body
    with pytest.raises(RequestException):
        curl.fetch("/fail")
    assert curl.fetch("/port").body == before


def test_curl_asks_much_at_once_on_one_connection(http3: Served, authority: str) -> None:
    requests = pytest.importorskip("curl_cffi.requests")

    async def main() -> Counter[str]:
        async with requests.AsyncSession(http_version="v3only", verify=authority, timeout=PATIENCE_S) as session:
            await session.get(http3.url())
            answers = await asyncio.gather(*(session.get(http3.url("/port")) for _ in range(300)))
            assert {answer.status_code for answer in answers} == {200}
            return Counter(answer.text for answer in answers)

    assert len(asyncio.run(main())) == 1


def test_niquests_asks_much_at_once_on_one_connection(http3: Served, authority: str) -> None:
    client = Niquests(http3.port, authority)
    client.session.multiplexed = True
    try:
        answers = [client.session.get(http3.url(f"/port?{number}"), **client.options) for number in range(90)]
        client.session.gather()
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
    finally:
        client.close()


def test_curl_sees_trailers(http3: Served, authority: str) -> None:
    lines, body = follow_with_curl(http3.url("/trailers"), authority, "te: trailers")
    assert body == b"body"
    assert lines[0].startswith("HTTP/3 200")
    assert "x-checksum: 42" in lines[lines.index("") :]


def test_curl_sees_early_hints(http3: Served, authority: str) -> None:
    lines, body = follow_with_curl(http3.url("/hint"), authority)
    heads = [line for line in lines if line.startswith("HTTP/")]
    assert [re.split(" +", line.strip())[1] for line in heads] == ["103", "200"]
    assert lines.index("link: </style.css>; rel=preload; as=style") < lines.index(heads[1])
    assert body.startswith(b"GET 3 ")


def test_the_server_outlives_a_client_that_goes_away_in_the_middle(curl: Curl) -> None:
    from curl_cffi.requests.exceptions import RequestException

    before = int(curl.fetch("/gone").body)
    with pytest.raises(RequestException):
        curl.stream("/endless", lambda piece: False)
    wait_until(lambda: int(curl.fetch("/gone").body) > before, "end of the application")


def test_alt_svc_leads_to_http3(http3: Served, authority: str) -> None:
    """A client that knows nothing begins with TCP and is told."""
    niquests = pytest.importorskip("niquests")
    with niquests.Session(disable_ipv6=True) as session:
        versions = [session.get(http3.url(), verify=authority, timeout=PATIENCE_S).http_version for _ in range(2)]
    assert versions[0] in (11, 20)
    assert versions[1] == 30
