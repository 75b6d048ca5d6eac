"""The API behind uvicorn on a real socket: loopback only, busy ports, raw HTTP and WebSocket, stopping."""

import asyncio
import socket
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect

from carbonnode.api.server import ApiServer
from carbonnode.errors import ConfigError


@pytest.mark.asyncio
async def test_serves_and_stops(node: Any, make_trade: Any) -> None:
    server = await ApiServer.start(node)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
            assert (await http.get("/v1/status")).json()["height"] == 7
            async with asyncio.timeout(20), connect(f"ws://127.0.0.1:{server.port}/v1/events?first_height=8") as stream:
                assert msgspec.json.decode(await stream.recv())["type"] == "welcome"
                node.publish(make_trade(8, 6200))
                assert msgspec.json.decode(await stream.recv())["height"] == 8
    finally:
        await server.stop()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", server.port)


@pytest.mark.asyncio
async def test_garbage_on_the_port_harms_nobody(node: Any) -> None:
    server = await ApiServer.start(node)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x16\x03\x01\x00\xff" * 100 + b"\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
            assert (await http.get("/healthz")).status_code == 200
    finally:
        await server.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])  # noqa: S104  shown to be refused
async def test_only_loopback_addresses(node: Any, host: str) -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1"):
        await ApiServer.start(node, host=host)


@pytest.mark.asyncio
async def test_a_busy_port_is_named(node: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
            await ApiServer.start(node, port=port)
