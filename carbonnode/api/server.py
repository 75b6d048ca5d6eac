"""Serving the API with uvicorn inside the daemon's event loop, on the loopback interface only."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterator

import uvicorn

from carbonnode.api.app import create_app
from carbonnode.api.ports import NodeService
from carbonnode.errors import ConfigError

BACKLOG = 512
STOP_GRACE_S = 5


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the daemon."""
        yield


class ApiServer:
    """A running HTTP server; make it with `start`."""

    def __init__(self, server: _Server, task: "asyncio.Task[None]", port: int) -> None:
        self._server = server
        self._task = task
        self.port = port

    @classmethod
    async def start(cls, service: NodeService, *, host: str = "127.0.0.1", port: int = 0) -> "ApiServer":
        """Listen and serve; port 0 takes a free one (`port` says which). Raises `ConfigError` if the port is busy or `host` isn't loopback."""
        listener = bind_loopback(host, port)
        config = uvicorn.Config(
            create_app(service),
            http="h11",
            ws="websockets-sansio",
            ws_max_size=64 * 1024,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=STOP_GRACE_S,
            limit_concurrency=512,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
        try:
            while not server.started:
                if task.done():
                    task.result()
                    raise ConfigError(f"the HTTP server on {host}:{port} stopped at once: see the log")
                await asyncio.sleep(0)
        except BaseException:
            task.cancel()
            listener.close()
            raise
        return cls(server, task, int(listener.getsockname()[1]))

    async def stop(self) -> None:
        """Stop accepting, finish what runs (at most `STOP_GRACE_S`), close."""
        self._server.should_exit = True
        await self._task


def bind_loopback(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address. Raises `ConfigError`."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ConfigError(f"HTTP address {host!r} is no IP address: use 127.0.0.1") from None
    if not address.is_loopback:
        raise ConfigError(f"HTTP address {host} isn't a loopback address: use 127.0.0.1, and a proxy that authenticates for access from elsewhere")
    listener = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(f"can't listen on {address}:{port}: {error}: choose another port, or stop what uses it") from None
    listener.setblocking(False)
    return listener
