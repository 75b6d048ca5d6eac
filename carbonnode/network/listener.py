"""The listening socket.

py-libp2p listens with SO_REUSEPORT, so that a second process on the same port would silently share the connections; ours is exclusive, and a
busy port is an error that names it. `transport` gives libp2p a TCP transport over sockets that are open already.
"""

import errno
import logging

import trio
from libp2p.abc import IListener
from libp2p.custom_types import THandler
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from carbonnode.errors import ConfigError
from carbonnode.network.tcp import BufferedTCP

_log = logging.getLogger(__name__)


async def open_exclusive(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on host and port (0: any free one). Raises `ConfigError` if that can't be had."""
    try:
        return list(await trio.open_tcp_listeners(port, host=host, backlog=256))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} on {host} is in use: stop the other process or choose another network.port") from None
        raise ConfigError(f"can't listen on {host} port {port}: {error.strerror or error}: check network.host and network.port") from None


def socket_address(listener: trio.SocketListener) -> tuple[str, int]:
    """(host, port) as bound."""
    name = listener.socket.getsockname()
    return str(name[0]), int(name[1])


class ExclusiveTransport(TCP):  # type: ignore[misc]
    """TCP whose listener serves sockets opened by `open_exclusive`."""

    def __init__(self, sockets: list[trio.SocketListener]) -> None:
        super().__init__()
        self._sockets = sockets

    def create_listener(self, handler_function: THandler) -> IListener:
        """Called once by the swarm."""
        return _Listener(handler_function, self._sockets)


class _Listener(IListener):  # type: ignore[misc]
    def __init__(self, handler: THandler, sockets: list[trio.SocketListener]) -> None:
        self._handler = handler
        self._sockets = sockets
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._serving = False

    async def listen(self, _maddr: Multiaddr) -> None:
        trio.lowlevel.spawn_system_task(self._serve)
        self._serving = True

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        addresses = []
        for listener in self._sockets:
            host, port = socket_address(listener)
            addresses.append(Multiaddr(f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"))
        return tuple(addresses)

    async def close(self) -> None:
        self._scope.cancel()
        if self._serving:
            await self._ended.wait()

    async def _serve(self) -> None:
        try:
            with self._scope:
                await trio.serve_listeners(self._accept, self._sockets)
        finally:
            self._ended.set()

    async def _accept(self, stream: trio.SocketStream) -> None:
        try:
            await self._handler(BufferedTCP(stream))
        except Exception as error:  # noqa: BLE001 - an exception here would end the listener, and strangers' bytes can raise anything
            _log.debug("connection from %s ended: %r", stream.socket, error)
        finally:
            await trio.aclose_forcefully(stream)
