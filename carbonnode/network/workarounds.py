"""Faults of py-libp2p 0.8.1 that are put right on the objects of one host; each has a test in `tests/functional/network_faults_test.py`.

| fault | remedy |
|---|---|
| the inbound handler of a connection holds its slot until the swarm stops: at the cap nobody can reconnect | `release_inbound_slots` |
| a resource manager with rates and caps of its own refuses reconnects | `without_resource_manager` |
| an auto-connector dials whomever it has heard of | `without_auto_connector` |
| identify is sent to whoever connects, before any handshake | `only_own_protocols` |
| failed dials blacklist a peer for 60 s | the dialler opens its own sockets (`dialer`) |
| SO_REUSEPORT: a second process on the port takes half the connections | `listener` |
| two system calls per frame; buffers as large as a peer announces | `tcp` |
| a reader that stalls 5 s is reset | `link._window` waits for the window before it writes |
| an error line in the log for every stranger | `quiet_logs` |
| task switches, locks and log lines on every frame | `insert_fast_paths` |
| concurrent writers interleave above 64 KB | one writer per stream, 60 KB a write (`link`) |
| a missed yamux ping closes nothing | heartbeats of our own (`link`) |
| a peer is granted 16 MB a stream before it has said anything | `batch_window_updates` |
| a window update, itself encrypted and written, per read | `batch_window_updates` |
"""

import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable

import trio
from libp2p.abc import IMuxedConn, IRawConnection
from libp2p.host.basic_host import BasicHost
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from carbonnode.network.doorman import Doorman
from carbonnode.network.fastpath import FastPath
from carbonnode.network.peer import Refusal
from carbonnode.network.switchboard import Switchboard

MAX_WINDOW_BYTES = 1024 * 1024


class ConnectionEnded(Exception):
    """Ends the inbound handler, whose slot is then free."""


def release_inbound_slots(swarm: Swarm, doorman: Doorman, board: Switchboard) -> None:
    """Let the inbound handler return when its connection ends; count and bound connections that haven't proven anything yet."""
    upgrade: Callable[[IRawConnection, Multiaddr], Awaitable[IMuxedConn]] = swarm.upgrade_inbound_raw_conn
    limits, counters, config = board.config.limits, board.counters, board.config
    pending_hosts: Counter[str] = Counter()

    async def upgrade_and_wait(raw: IRawConnection, address: Multiaddr) -> IMuxedConn:
        remote = raw.get_remote_address() or ("unknown", 0)
        counters.accepted += 1
        if counters.pending >= limits.max_pending or pending_hosts[remote[0]] >= limits.max_pending_per_host:
            board.count_refusal(f"{remote[0]}:{remote[1]}", Refusal("too-many-pending", "too many unproven connections at a time"), inbound=True)
            raise ConnectionEnded
        counters.pending += 1
        pending_hosts[remote[0]] += 1
        waiting = True
        conn: IMuxedConn | None = None
        try:
            try:
                conn = await upgrade(raw, address)
            except Exception:
                counters.upgrades_failed += 1
                raise
            arrival = doorman.arrival(conn)
            with trio.move_on_after(config.handshake_timeout_ms / 1000 + 1):
                await arrival.settled.wait()
            waiting = False
            settle(remote[0])
            if not arrival.settled.is_set():
                await conn.close()
            await conn.event_closed.wait()
        finally:
            if waiting:
                settle(remote[0])
            if conn is not None:
                doorman.forget(conn)
        raise ConnectionEnded

    def settle(remote_host: str) -> None:
        counters.pending -= 1
        pending_hosts[remote_host] -= 1
        if not pending_hosts[remote_host]:
            del pending_hosts[remote_host]

    swarm.upgrade_inbound_raw_conn = upgrade_and_wait


def without_resource_manager(swarm: Swarm) -> None:
    """Our own limits hold instead."""
    swarm.set_resource_manager(None)


def only_own_protocols(host: BasicHost) -> None:
    """Serve no protocol but those registered after this call, and ask nobody to identify itself."""

    def not_asked(*_arguments: object, **_named: object) -> None:
        """Our handshake says who a peer is."""

    host.multiselect.handlers.clear()
    host._schedule_identify = not_asked  # noqa: SLF001


def without_auto_connector(swarm: Swarm) -> None:
    """Only the dialler dials: libp2p would look for hundreds of peers whenever it has fewer connections than its watermarks."""

    async def nothing(*_arguments: object) -> None:
        """Nobody is looked for."""

    swarm.auto_connector.start = nothing
    swarm.auto_connector.run_background_task = nothing
    swarm.auto_connector.maybe_connect = nothing


def quiet_logs() -> None:
    """Strangers' garbage is counted and told to the daemon (`on_refused`); libp2p would write an error line for each, as fast as they send it.

    Whoever looks for a fault of libp2p's own sets its variable LIBP2P_DEBUG.
    """
    if not os.environ.get("LIBP2P_DEBUG"):
        logging.getLogger("libp2p").setLevel(logging.CRITICAL)


def insert_fast_paths(swarm: Swarm) -> None:
    """Put a `FastPath` under every connection, while it isn't read yet."""
    upgrade = swarm.upgrader.upgrade_connection

    async def upgrade_connection(session: SecureSession, peer_id: ID) -> Yamux:
        conn: Yamux = await upgrade(session, peer_id)
        conn.secured_conn = FastPath(session, conn)
        return conn

    swarm.upgrader.upgrade_connection = upgrade_connection


def batch_window_updates() -> None:
    """Give credit back when half the window is used up, not at every read, and never more than 1 MB of it.

    Process-wide: py-libp2p asks its environment. Its windows double with every few small reads, so that the negotiation of a protocol alone
    grants a peer 16 MB of our memory per stream.
    """
    yamux.MAX_WINDOW_SIZE = MAX_WINDOW_BYTES
    yamux._yamux_release_on_read = lambda: False  # noqa: SLF001
    yamux._yamux_disable_hysteresis = lambda: False  # noqa: SLF001
    yamux._yamux_batch_threshold_divisor = lambda: 2  # noqa: SLF001
