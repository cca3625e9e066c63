"""Whose a datagram is: the table of connection IDs, and what becomes of datagrams that nobody in it waits for.

``find`` is asked for each datagram, and ``admit`` where it knows nobody.  What ``admit`` says is done by the transport:
``Open`` makes a connection (which is told with ``note_opened`` before its first datagram is handed to it), ``Reply`` is
sent to where the datagram came from, ``Forward`` goes to another worker, and ``None`` is dropped without a word.

Invariants: an ID belongs to one connection, and the first that has it keeps it; a connection leaves nothing behind
``forget`` but its farewell for a while, at a cost of its own IDs alone (Q-15); no datagram makes anything raise, none
makes a reply that is larger than itself, but for a farewell, which earlier ones have paid for; and none is forwarded
more than twice.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Generic, Literal, TypeVar

from fastserver._speedups.bucket import TokenBucket
from fastserver._speedups.metrics import Metrics
from fastserver._speedups.quic.errors import CONNECTION_REFUSED, INVALID_TOKEN
from fastserver.protocol.quic import bounds
from fastserver.protocol.quic.cids import CID_BYTES, ConnectionIDs
from fastserver.protocol.quic.datagram import (
    FIXED_BIT,
    LONG_BIT,
    MIN_FIRST_CID_BYTES,
    MIN_INITIAL_BYTES,
    NEGOTIATION,
    VERSIONS,
    Address,
    LongHeader,
    read_long_header,
    read_token,
)
from fastserver.protocol.quic.farewells import Farewell, Farewells
from fastserver.protocol.quic.replies import (
    MIN_RESET_BYTES,
    render_refusal,
    render_reset,
    render_retry,
    render_version_negotiation,
)
from fastserver.protocol.quic.tokens import InvalidToken, Tokens
from fastserver.protocol.quic.verdicts import Forward, Open, Reply, Verdict

_SHORT_CID: Final = slice(1, 1 + CID_BYTES)

C = TypeVar("C")


class _Admission(Enum):
    OPEN = auto()
    #: The server ends: new clients are told to go elsewhere.
    REFUSING = auto()
    #: The worker ends among others: new clients are theirs.
    RETIRING = auto()


class Dispatcher(Generic[C]):
    """The connections of one worker by their IDs; ``C`` is what the transport calls a connection.

    ``read_wall`` gives the Unix time in seconds.  ``is_full`` says whether there are as many connections as there may
    be, and ``note_full`` hears of each client that comes to nothing for that.  With several workers ``is_living`` says
    whether a number is that of a worker that can be handed a datagram, and ``choose_worker``, which of them a client of
    an unknown ID is for (the same for the same ID, and never one that ends); without the latter it is for whom it came
    to.  ``metrics`` takes the count of what strangers are told, what is dropped, and how many handshakes are under way.
    """

    def __init__(
        self,
        cids: ConnectionIDs,
        tokens: Tokens,
        read_wall: Callable[[], float],
        *,
        retry: Literal["auto", "always", "never"],
        max_half_open: int,
        is_full: Callable[[], bool],
        note_full: Callable[[], object],
        is_living: Callable[[int], bool] | None,
        choose_worker: Callable[[bytes], int] | None,
        metrics: Metrics,
    ) -> None:
        self._cids = cids
        self._tokens = tokens
        self._read_wall = read_wall
        self._max_half_open = max_half_open
        #: So many half-open connections and a client has to prove its address.
        self._retry_from = {"auto": max(1, max_half_open // bounds.RETRY_FRACTION), "always": 0}.get(retry)
        self._is_full = is_full
        self._note_full = note_full
        self._is_living = is_living
        self._choose_worker = choose_worker
        self._metrics = metrics
        self._admission = _Admission.OPEN
        self._negotiations = TokenBucket(bounds.NEGOTIATION_BURST, bounds.NEGOTIATION_RATE)
        self._resets = TokenBucket(bounds.RESET_BURST, bounds.RESET_RATE)
        self._refusals = TokenBucket(bounds.REFUSAL_BURST, bounds.REFUSAL_RATE)
        self._farewells = Farewells()
        self._table: dict[bytes, C] = {}
        self._held: dict[C, set[bytes]] = {}
        #: Those whose handshake is not done, with where their clients' Initial packets go.
        self._initial_cids: dict[C, bytes] = {}
        #: IDs that clients chose whose handshakes are done, and until when they are known.
        self._late_cids: OrderedDict[bytes, float] = OrderedDict()

    # The table.

    def find(self, data: bytes) -> C | None:
        """The connection that the ID at the head of ``data`` belongs to."""
        if data and data[0] & LONG_BIT:
            return self._table.get(data[6 : 6 + data[5]]) if len(data) > 6 else None
        return self._table.get(data[_SHORT_CID])

    def note_opened(self, connection: C, initial_cid: bytes) -> None:
        """``connection`` was made on our word; Initial packets to ``initial_cid`` are its own until it is settled."""
        self._initial_cids[connection] = initial_cid
        self._metrics.half_open = self.half_open
        self.register(connection, initial_cid)

    def note_handshake_done(self, connection: C, now: float) -> None:
        """The handshake is over.

        The ID that the client had chosen is known for a while yet, whatever becomes of the connection: a first packet
        that the network has doubled must not open another one.
        """
        initial_cid = self._settle(connection)
        if initial_cid is not None and initial_cid in self._held.get(connection, ()):
            self._expire_late(now)
            if len(self._late_cids) >= bounds.MAX_LATE_IDS:
                self._lose_oldest_late()
            self._late_cids[initial_cid] = now + bounds.LATE_S

    def register(self, connection: C, cid: bytes) -> None:
        """``cid`` is now a name of ``connection``."""
        if self._table.setdefault(cid, connection) is connection:
            self._held.setdefault(connection, set()).add(cid)

    def unregister(self, connection: C, cid: bytes) -> None:
        """``cid`` is no longer a name of ``connection``, if it was one."""
        held = self._held.get(connection)
        if held is not None and cid in held:
            held.discard(cid)
            del self._table[cid]

    def forget(self, connection: C, farewell: Farewell | None, now: float) -> None:
        """``connection`` is over: its names and its place among the half-open are free.

        Where we have closed it, ``farewell`` is what its client may not have heard, and goes to who uses the names.
        """
        self._settle(connection)
        held = self._held.pop(connection, set())
        for cid in held:
            del self._table[cid]
        if farewell is not None:
            self._farewells.keep(held, farewell, now)

    def expire(self, now: float) -> float:
        """Forget what is kept for a while: when there is more to forget; infinity for never."""
        return min(self._farewells.expire(now), self._expire_late(now))

    def _expire_late(self, now: float) -> float:
        late = self._late_cids
        while late:
            until = next(iter(late.values()))
            if until > now:
                return until
            self._lose_oldest_late()
        return math.inf

    def _lose_oldest_late(self) -> None:
        cid, _ = self._late_cids.popitem(last=False)
        connection = self._table.get(cid)
        if connection is not None:
            self.unregister(connection, cid)

    def take_farewells(self, origin: object) -> list[Farewell]:
        """The farewells that ``origin`` has sent lately, which are forgotten: it ends."""
        return self._farewells.take(origin)

    def _settle(self, connection: C) -> bytes | None:
        """``connection`` is half-open no longer: where its client's Initial packets went, if it was."""
        initial_cid = self._initial_cids.pop(connection, None)
        self._metrics.half_open = self.half_open
        return initial_cid

    def __len__(self) -> int:
        """How many IDs are known."""
        return len(self._table)

    @property
    def half_open(self) -> int:
        """How many connections are in their handshake."""
        return len(self._initial_cids)

    def stop_admitting(self, *, is_retiring: bool) -> None:
        """No new connections: clients are refused, or, where the worker retires among others, left to those."""
        self._admission = _Admission.RETIRING if is_retiring else _Admission.REFUSING

    # Datagrams that nobody waits for.

    def admit(self, data: bytes, address: Address, now: float, *, is_forwarded: bool) -> Verdict | None:
        """What becomes of a datagram for which ``find`` has nobody; ``is_forwarded``: it came through a worker."""
        verdict = self._judge(data, address, now, is_forwarded)
        if verdict is None:
            self._metrics.datagrams_dropped += 1
        return verdict

    def _judge(self, data: bytes, address: Address, now: float, is_forwarded: bool) -> Verdict | None:
        if not data:
            return None
        if not data[0] & LONG_BIT:
            return self._admit_short(data, now, is_forwarded)
        header = read_long_header(data)
        if header is None:
            return None
        if header.version not in VERSIONS:
            return self._negotiate(header, len(data), now)
        if not header.is_plausible():
            return None
        closed = self._farewells.find(header.dcid)
        if closed is not None:
            return self._repeat(closed.hear(len(data)))
        if header.is_initial():
            return self._admit_initial(data, header, address, now, is_forwarded)
        # Handshake and 0-RTT packets mean nothing to who does not know the connection, but another worker may.
        owner = None if is_forwarded else self._find_owner(header.dcid)
        return None if owner is None else Forward(owner)

    def _admit_short(self, data: bytes, now: float, is_forwarded: bool) -> Verdict | None:
        if not data[0] & FIXED_BIT:
            return None
        cid = data[_SHORT_CID]
        closed = self._farewells.find(cid)
        if closed is not None:
            return self._repeat(closed.hear(len(data)))
        owner = None if is_forwarded else self._find_owner(cid)
        if owner is not None:
            return Forward(owner)
        if len(data) <= MIN_RESET_BYTES or not self._resets.take(now):
            return None
        self._metrics.resets += 1
        return Reply(render_reset(self._cids.make_reset_token(cid), len(data)))

    def _repeat(self, farewell: bytes | None) -> Reply | None:
        """Say again that a connection is closed, if that is due."""
        if farewell is None:
            return None
        self._metrics.farewells += 1
        return Reply(farewell)

    def _negotiate(self, header: LongHeader, received_bytes: int, now: float) -> Reply | None:
        """Q-2: only for who has sent as much as a client does, and never in answer to a negotiation."""
        if header.version == NEGOTIATION or received_bytes < MIN_INITIAL_BYTES or not self._negotiations.take(now):
            return None
        self._metrics.negotiations += 1
        return Reply(render_version_negotiation(header))

    def _admit_initial(
        self, data: bytes, header: LongHeader, address: Address, now: float, is_forwarded: bool
    ) -> Verdict | None:
        if len(data) < MIN_INITIAL_BYTES or len(header.dcid) < MIN_FIRST_CID_BYTES:
            return None
        token = read_token(data, header)
        if token is None:
            return None
        if header.dcid in self._late_cids:
            return None
        worker = self._find_home(header.dcid, is_forwarded)
        if worker is not None:
            return Forward(worker)
        if self._admission is _Admission.RETIRING:
            return None
        if self._admission is _Admission.REFUSING:
            return self._refuse(header, CONNECTION_REFUSED, now)
        if self._is_full():
            self._note_full()
            return self._refuse(header, CONNECTION_REFUSED, now)
        return self._admit_client(header, token, address, now)

    def _admit_client(self, header: LongHeader, token: bytes, address: Address, now: float) -> Verdict | None:
        """Q-3, Q-4: the proof of the address, where one is asked for or given, then the limit on handshakes.

        Beyond the limit nothing is said: a refusal is final for a client, while in silence it asks again after 1, 2, 4
        seconds, with the token that it has, and a crowd is spread.  It has its Retry before: when there is room, that
        round trip is behind it.
        """
        now_wall = self._read_wall()
        verdict = Open(header.dcid, None)
        if self._tokens.is_retry(token):
            try:
                verdict = Open(self._tokens.open_retry(token, address, header.dcid, now_wall), header.dcid)
            except InvalidToken:
                return self._refuse(header, INVALID_TOKEN, now)
        elif self._must_prove() and not self._has_visited(token, address, now_wall):
            retry_cid = self._cids.make()
            seal = self._tokens.seal_retry(address, header.dcid, retry_cid, now_wall)
            self._metrics.retries += 1
            return Reply(render_retry(header, retry_cid, seal))
        return verdict if self.half_open < self._max_half_open else None

    def _must_prove(self) -> bool:
        return self._retry_from is not None and self.half_open >= self._retry_from

    def _has_visited(self, token: bytes, address: Address, now_wall: float) -> bool:
        """Whether ``token`` is of a NEW_TOKEN frame; any other counts as none (RFC 9000 section 8.1.3)."""
        try:
            self._tokens.open_address(token, address, now_wall)
        except InvalidToken:
            return False
        return True

    def _refuse(self, header: LongHeader, code: int, now: float) -> Reply | None:
        if not self._refusals.take(now):
            return None
        self._metrics.refusals += 1
        return Reply(render_refusal(header, code))

    # Other workers.

    def _find_owner(self, cid: bytes) -> int | None:
        """Another worker that lives and may have given ``cid``."""
        worker = self._cids.find_worker(cid)
        if worker is None or worker == self._cids.worker or self._is_living is None or not self._is_living(worker):
            return None
        return worker

    def _find_home(self, cid: bytes, is_forwarded: bool) -> int | None:
        """The other worker that an Initial to ``cid`` is for.

        An ID that a client chose may look like one of ours.  Then it is for that worker too, unless it retires: it
        hands on even what it was handed.  Nobody else does, so that a datagram takes two steps at the most.
        """
        is_ours = self._cids.find_worker(cid) == self._cids.worker
        if not is_forwarded:
            owner = self._find_owner(cid)
            if owner is not None:
                return owner
        if self._choose_worker is None or (is_ours and self._admission is not _Admission.RETIRING):
            return None
        if is_forwarded and not is_ours:
            return None
        worker = self._choose_worker(cid)
        return None if worker == self._cids.worker else worker
