"""Keeps a link to every configured peer: dials, redials at once when a link closes, then backs off with jitter.

The lower transport key dials first; the other side waits a moment, so that both don't dial at the same time as a rule.
"""

import random

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey

from carbonnode.errors import PeerViolation
from carbonnode.network.config import PeerAddress
from carbonnode.network.doorman import Doorman
from carbonnode.network.handshake import RefusedByPeer
from carbonnode.network.link import Link
from carbonnode.network.peer import RefusalCode, peer_id_text
from carbonnode.network.switchboard import Switchboard
from carbonnode.network.tcp import BufferedTCP

COURTESY_S = 0.04
"""How long the side with the higher key lets the other one dial first."""

DUPLICATES_TOLERATED_S = 3.0
"""How long a peer may take our dials for duplicates, as both sides dialled at once, before the operator hears of it: longer than `SIMULTANEOUS_MS`."""

_FINAL_CODES = frozenset({RefusalCode.BANNED, RefusalCode.BLOCKED, RefusalCode.WRONG_CHAIN, RefusalCode.WRONG_VERSION, RefusalCode.NOT_A_MEMBER})
"""Refusals that won't change within milliseconds: back off fully at once."""


class DialFailed(Exception):
    """A dial ended without a link."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Duplicates:
    """A row of dials that the peer took for duplicates, though there is no link: normal for moments, else something an operator must hear of, once."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = False

    def again(self, now: float) -> float | None:
        """Another one, at `now` (s); gives how long the row lasts if that is to be told now."""
        if self._since is None:
            self._since = now
        if self._told or now - self._since < DUPLICATES_TOLERATED_S:
            return None
        self._told = True
        return now - self._since

    def end(self) -> None:
        """There is a link, or a dial failed otherwise, which is told on its own."""
        self._since, self._told = None, False


class Dialer:
    """One task per configured peer, kept in step with the configuration."""

    def __init__(self, swarm: Swarm, nursery: trio.Nursery, board: Switchboard, doorman: Doorman) -> None:
        self._swarm = swarm
        self._nursery = nursery
        self._board = board
        self._doorman = doorman
        self._own_key = board.own_key
        self._keepers: dict[PeerAddress, trio.CancelScope] = {}
        self._changed = trio.Event()
        self._jitter = random.Random()
        board.on_table_change.append(self._on_table_change)

    def _on_table_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        wanted = {peer for peer in self._board.peers if peer.transport_key != self._own_key}
        for peer in self._keepers.keys() - wanted:
            self._keepers.pop(peer).cancel()
        for peer in wanted - self._keepers.keys():
            scope = self._keepers[peer] = trio.CancelScope()
            self._nursery.start_soon(self._keep, peer, scope)

    def start(self) -> None:
        """Begin with the peers configured now."""
        self._on_table_change()

    async def _keep(self, peer: PeerAddress, scope: trio.CancelScope) -> None:
        courtesy = 0.0 if self._own_key < peer.transport_key else COURTESY_S
        config = self._board.config
        with scope:
            backoff_ms = 0.0
            wait = courtesy
            duplicates = Duplicates()
            while True:
                if self._board.is_linked(peer.transport_key):
                    await self._changed.wait()
                    wait, backoff_ms = courtesy, 0.0
                    duplicates.end()
                    continue
                await self._pause(peer, wait)
                if self._board.is_linked(peer.transport_key):
                    continue
                try:
                    await self._serve(peer)
                except DialFailed as failed:
                    if failed.outcome == RefusalCode.DUPLICATE:
                        wait = courtesy + config.redial_base_ms / 1000
                        lasting_s = duplicates.again(trio.current_time())
                        if lasting_s is not None:
                            self._board.called_duplicate(peer.name, f"{peer.host}:{peer.port}", lasting_s)
                        continue
                    duplicates.end()
                    self._board.redial_failed(peer.name, failed.outcome)
                    most = float(config.redial_max_ms)
                    backoff_ms = most if failed.outcome in _FINAL_CODES else min(most, max(float(config.redial_base_ms), backoff_ms * 2))
                    wait = backoff_ms / 1000 * self._jitter.uniform(0.5, 1.0)
                else:
                    backoff_ms = 0.0
                    wait = courtesy
                    duplicates.end()

    async def _pause(self, peer: PeerAddress, seconds: float) -> None:
        """Wait so long, or until the peer has opened a link: when that is lost the next dial must not wait for the end of an old back-off."""
        with trio.move_on_after(seconds):
            while not self._board.is_linked(peer.transport_key):
                await self._changed.wait()

    async def _serve(self, peer: PeerAddress) -> None:
        """Dial, and run the link to its end. Raises `DialFailed` if there was no link."""
        self._board.counters.dials += 1
        conn: SwarmConn | None = None
        try:
            self._board.dialling[peer.transport_key] = self._board.now_ms()
            try:
                link: Link | None = None
                with trio.move_on_after(self._board.config.dial_timeout_ms / 1000):
                    conn = await self._connect(peer)
                    link = await self._prove(conn, peer)
            finally:
                self._board.dialling.pop(peer.transport_key, None)
            if link is None:
                raise DialFailed("timeout")
            await link.run()
        finally:
            self._doorman.close_soon(conn)

    async def _connect(self, peer: PeerAddress) -> SwarmConn:
        try:
            stream = await trio.open_tcp_stream(peer.host, peer.port)
        except OSError as error:
            raise DialFailed("refused" if was_refused(error) else "unreachable") from error
        upgraded = False
        try:
            raw = RawConnection(BufferedTCP(stream), initiator=True)
            conn: SwarmConn = await self._swarm.upgrade_outbound_raw_conn(raw, ID.from_base58(peer_id_text(peer.transport_key)))
            upgraded = True
        except Exception as error:
            # Whatever garbage the other side sends surfaces here, as libp2p's errors or as its cryptography's.
            raise DialFailed(RefusalCode.WRONG_PEER if has_other_key(error) else "upgrade-failed") from error
        finally:
            if not upgraded:
                await trio.aclose_forcefully(stream)  # libp2p leaves the socket open when a time-out cancels it
        return conn

    async def _prove(self, conn: SwarmConn, peer: PeerAddress) -> Link:
        try:
            return await self._doorman.connect(conn, peer.name)
        except PeerViolation as violation:
            raise DialFailed(violation.code) from violation
        except RefusedByPeer as refused:
            raise DialFailed(refused.refusal.code) from refused
        except BaseLibp2pError as error:
            raise DialFailed("closed") from error


def was_refused(error: BaseException) -> bool:
    """Whether every attempt behind a failed connect found nobody listening."""
    if isinstance(error, BaseExceptionGroup):
        return all(was_refused(inner) for inner in error.exceptions)
    return isinstance(error, ConnectionRefusedError) or (error.__cause__ is not None and was_refused(error.__cause__))


def has_other_key(error: BaseException | None) -> bool:
    """Whether an upgrade failed because the host proved another libp2p key than the one dialled."""
    while error is not None:
        if isinstance(error, PeerIDMismatchesPubkey) or "Peer ID mismatch" in str(error):
            return True
        error = error.__cause__
    return False
