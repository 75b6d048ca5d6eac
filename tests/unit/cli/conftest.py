"""A node in memory behind the real HTTP server in a thread, and wallets: for commands that talk to a node."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carbonnode.api.server import ApiServer
from carbonnode.identity.keystore import KeyStore, Strength

OWNER_SEED = b"\x42" * 32
"""The seed of the fixture `owner`."""


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Serve a node; gives its URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[ApiServer] = []

    def start(node: Any) -> str:
        server = asyncio.run_coroutine_threadsafe(ApiServer.start(node), loop).result(30)
        servers.append(server)
        return f"http://127.0.0.1:{server.port}"

    yield start
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


@pytest.fixture
def wallets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key store with the wallet `st-001`, whose passphrase a file gives."""
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(secret))
    directory = tmp_path / "wallets"
    KeyStore(directory).create("st-001", "correct horse", seed=OWNER_SEED, strength=Strength.THROW_AWAY)
    monkeypatch.setenv("CARBONNODE_WALLETS", str(directory))
    return directory
