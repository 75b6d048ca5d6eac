"""The libp2p host of a node: noise and yamux on TCP, nothing else. Imported in the network's thread only."""

import secrets
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import cast

import trio
from libp2p import new_host
from libp2p.crypto import ed25519, x25519
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig
from libp2p.network.stream.net_stream import NetStream
from libp2p.network.swarm import Swarm
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from carbonnode.network.config import NetworkConfig
from carbonnode.network.dialer import Dialer
from carbonnode.network.doorman import PROTOCOLS, Doorman, close_connection
from carbonnode.network.handshake import INSTANCE_BYTES
from carbonnode.network.listener import ExclusiveTransport, open_exclusive, socket_address
from carbonnode.network.shared import Bridge, StreamId
from carbonnode.network.switchboard import Switchboard
from carbonnode.network.workarounds import (
    batch_window_updates,
    insert_fast_paths,
    only_own_protocols,
    quiet_logs,
    release_inbound_slots,
    without_auto_connector,
    without_resource_manager,
)


async def serve(transport_seed: bytes, board: Switchboard, bridge: Bridge, report_listening: Callable[[tuple[str, int]], None]) -> None:
    """Run the host until the switchboard is told to stop."""
    config = board.config
    sockets = await open_exclusive(config.host, config.port)
    address = socket_address(sockets[0])
    host = _make_host(transport_seed, config, sockets)
    swarm = cast(Swarm, host.get_network())
    quiet_logs()
    batch_window_updates()
    without_resource_manager(swarm)
    without_auto_connector(swarm)
    insert_fast_paths(swarm)
    only_own_protocols(host)
    family = "ip6" if ":" in address[0] else "ip4"
    stop = trio.Event()
    async with trio.open_nursery() as closing:
        # Connections are closed by tasks that outlive the host: its own tasks are cancelled before they get round to it.
        async with host.run(listen_addrs=[Multiaddr(f"/{family}/{address[0]}/tcp/{address[1]}")]):
            async with trio.open_nursery() as nursery:
                doorman = Doorman(host, closing, board, bridge)
                release_inbound_slots(swarm, doorman, board)
                for stream_id in StreamId:
                    host.set_stream_handler(TProtocol(PROTOCOLS[stream_id]), partial(_on_stream, doorman, stream_id))
                board.attach(bridge, secrets.token_bytes(INSTANCE_BYTES), _now_ms, stop.set)
                bridge.attach(_run_soon(trio.lowlevel.current_trio_token()))
                Dialer(swarm, nursery, board, doorman).start()
                report_listening(address)
                await stop.wait()
                nursery.cancel_scope.cancel()
            await _close_all(swarm)
        closing.cancel_scope.cancel()


async def _on_stream(doorman: Doorman, stream_id: StreamId, stream: object) -> None:
    await doorman.on_stream(stream_id, cast(NetStream, stream))


def _make_host(transport_seed: bytes, config: NetworkConfig, sockets: list[trio.SocketListener]) -> BasicHost:
    keys = ed25519.create_new_key_pair(transport_seed)
    noise = NoiseTransport(keys, noise_privkey=x25519.create_new_key_pair().private_key)
    most = config.limits.max_links * 2 + config.limits.max_pending
    handshake_s = config.handshake_timeout_ms / 1000
    connections = ConnectionConfig(
        max_connections=most,
        min_connections=0,
        low_watermark=0,
        high_watermark=most,
        max_connections_per_peer=4,
        inbound_upgrade_timeout=handshake_s,
        outbound_upgrade_timeout=handshake_s,
    )
    host = new_host(
        key_pair=keys,
        sec_opt={NOISE_ID: noise},
        muxer_opt={TProtocol(YAMUX_ID): Yamux},
        transports=[ExclusiveTransport(sockets)],
        connection_config=connections,
        disable_identify_address_discovery=True,
    )
    return cast(BasicHost, host)


async def _close_all(swarm: Swarm) -> None:
    """All connections at once: libp2p would close them one after the other, with a sleep each."""
    with trio.move_on_after(3):
        async with trio.open_nursery() as nursery:
            for connections in list(swarm.connections.values()):
                for connection in list(connections):
                    nursery.start_soon(close_connection, connection)


def _now_ms() -> int:
    return int(monotonic() * 1000)


def _run_soon(token: trio.lowlevel.TrioToken) -> Callable[[Callable[[], None]], None]:
    def run(job: Callable[[], None]) -> None:
        try:
            token.run_sync_soon(job)
        except trio.RunFinishedError:
            return  # the thread is ending: there is nobody left to do the job

    return run
