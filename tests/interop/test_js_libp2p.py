"""A js-libp2p client opens a connection with noise and yamux, and is refused by name (`make interop`; needs Node 20 and npm)."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from carbonnode.network import peer_id_text
from tests.functional.network_harness import CHAIN, Member, Town

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

HERE = Path(__file__).resolve().parent / "js"
BUILD = HERE.parents[2] / "build" / "interop-js"
SOURCES = ("package.json", "package-lock.json", ".npmrc", "knock.test.mjs")


@pytest.fixture(scope="module")
def client() -> Path:
    """The client with its packages, installed from the lock outside the source tree."""
    if shutil.which("npm") is None:
        pytest.fail("npm isn't installed: interop needs Node 20 with npm")
    BUILD.mkdir(parents=True, exist_ok=True)
    lock = (HERE / "package-lock.json").read_bytes()
    installed = BUILD / "node_modules" / ".installed-from"
    for name in SOURCES:
        shutil.copy(HERE / name, BUILD / name)
    if not installed.exists() or installed.read_bytes() != lock:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=BUILD, check=True, capture_output=True, timeout=200)
        installed.write_bytes(lock)
    return BUILD


def test_the_lock_names_no_registry() -> None:
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    assert len(packages) > 20
    assert all("resolved" not in entry for entry in packages.values())
    assert all("integrity" in entry for name, entry in packages.items() if name)


@pytest.mark.asyncio
async def test_a_js_client_is_refused_by_name(client: Path) -> None:
    town = Town()
    try:
        network, recorder = await town.start(Member(town, "a"), handshake_timeout_ms=3_000)
        assert network.address is not None
        arguments = (network.address[0], str(network.address[1]), peer_id_text(network.transport_key), CHAIN.hex())
        command = ("npm", "test", "--silent", "--", *arguments)
        process = await asyncio.create_subprocess_exec(*command, cwd=client, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        output, errors = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, errors.decode()
        answers = [json.loads(line) for line in output.splitlines()]
        assert {(answer["encryption"], answer["multiplexer"]) for answer in answers} == {("/noise", "/yamux/1.0.0")}
        assert {answer["attempt"]: answer["code"] for answer in answers} == {
            "without a certificate": "not-a-member",
            "another chain": "wrong-chain",
            "a made-up certificate": "malformed-certificate",
            "silence": "not-a-member",
        }
        assert "only members of this network may connect" in answers[0]["message"]
        await recorder.until(lambda: len(recorder.refusals) == 4)
        assert network.counters.refused == {"not-a-member": 2, "wrong-chain": 1, "malformed-certificate": 1}
        assert not recorder.ups
    finally:
        await town.close()
