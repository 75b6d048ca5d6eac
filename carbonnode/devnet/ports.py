"""Ports of a devnet: free ones are found and claimed, so that two devnets that start at the same moment don't both take them.

Between looking for a free port and a node's listening on it lie seconds (keys, imports). A claim is a file lock that `devnet up` holds for that time; the
system releases it when the process ends, however it ends.
"""

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import Self

from carbonnode.devnet.layout import HOST
from carbonnode.errors import ConfigError

PORT_STEP = 10
DEFAULT_BASE_PORT = 27_000
BASE_STEP = 200
_LAST_PORT = 65_000
_MAX_PORT = 65_535


class PortClaim:
    """The claim on a devnet's ports from `base` on; a context manager."""

    def __init__(self, base: int, descriptor: int) -> None:
        self.base = base
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        """Hold it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        os.close(self._descriptor)


def claim_ports(count: int, wanted: int | None) -> PortClaim:
    """Claim the ports of `count` nodes. Raises `ConfigError` if a wanted base, or a port that follows from it, is busy or claimed."""
    if wanted is not None:
        _check_range(wanted, count)
        busy = busy_port(wanted, count)
        claim = None if busy is not None else _claim(wanted)
        if claim is None:
            what = f"port {busy} is busy" if busy is not None else f"another devnet is starting on port {wanted}"
            raise ConfigError(f"{what}: end what listens there, or choose another --base-port")
        return claim
    for base in range(DEFAULT_BASE_PORT, _LAST_PORT, BASE_STEP):
        # Claimed first, looked at second: whoever holds the claim before us listens by the time he lets it go.
        claim = _claim(base)
        if claim is not None and busy_port(base, count) is None:
            return claim
        if claim is not None:
            claim.__exit__()
    raise ConfigError(f"no free ports between {DEFAULT_BASE_PORT} and {_LAST_PORT}: end what listens there, or choose a --base-port")


def busy_port(base: int, count: int) -> int | None:
    """The first of the nodes' ports on which something listens."""
    return next((port for port in (base + PORT_STEP * i + k for i in range(count) for k in (0, 1)) if is_busy(port)), None)


def is_busy(port: int) -> bool:
    """Whether something listens on a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _check_range(base: int, count: int) -> None:
    if not 1 <= base <= _MAX_PORT - PORT_STEP * count - 1:
        raise ConfigError(f"--base-port {base}: ports from it up to {base + PORT_STEP * count} must lie in 1..{_MAX_PORT}")


def _claim(base: int) -> PortClaim | None:
    path = Path(tempfile.gettempdir()) / f"carbonnode-devnet-{os.getuid()}-{base}.lock"
    # Closed on exec: the nodes that we start must not inherit the claim.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return PortClaim(base, descriptor)
