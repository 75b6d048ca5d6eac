"""Which gas limit the SDK declares: what a dry run suggests, what is given, or the default where nobody can say."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from carbonnode.api.server import ApiServer
from carbonnode.chain.service import ServiceRefusal
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Call
from carbonnode.client import DEFAULT_GAS, Client, EstimateInfo, GasChoice
from carbonnode.client import client as client_module
from carbonnode.client.gas import choice_of
from carbonnode.errors import RemoteError

DEPOSIT = [Call("cash", "deposit", ("ST-001", 5, "r"))]


@pytest_asyncio.fixture
async def client(node: Any, owner: KeySigner) -> AsyncIterator[Client]:
    server = await ApiServer.start(node)
    async with Client(f"http://127.0.0.1:{server.port}", signer=owner) as client:
        yield client
    await server.stop()


@pytest.mark.asyncio
async def test_what_is_signed_declares_what_a_dry_run_suggests(client: Client, node: Any, owner: KeySigner) -> None:
    assert (await client.estimate(DEPOSIT)).gas_used == 42
    assert (await client.sign(DEPOSIT)).body.gas_limit == 100_084
    assert node.estimated == [(tuple(DEPOSIT), owner.public_key)] * 2
    assert (await client.call("cash", "deposit", "ST-001", 5, "r")).ok
    assert len(node.estimated) == 3
    # A limit that is given needs no dry run.
    assert (await client.sign(DEPOSIT, gas=7)).body.gas_limit == 7
    assert len(node.estimated) == 3


@pytest.mark.asyncio
async def test_arguments_of_all_types_arrive(client: Client, node: Any) -> None:
    node_abi = await node.abi("cash")
    assert node_abi.method("deposit") is not None
    calls = [Call("cash", "deposit", ("ST-001", 1 << 200, "\u0000\u20ac"))]
    assert (await client.estimate(calls)).ok
    assert node.estimated[-1][0] == tuple(calls)


@pytest.mark.asyncio
@pytest.mark.parametrize("code", ["busy", "not-ready", "not-available", "overloaded", "timeout"])
async def test_where_the_node_cannot_the_default_is_declared(client: Client, node: Any, code: str) -> None:
    node.estimate_refusal = ServiceRefusal("not now", code=code)
    with pytest.raises(RemoteError):
        await client.estimate(DEPOSIT)
    choice = await client.gas_for(DEPOSIT)
    assert (choice.limit, choice.source, choice.estimate) == (DEFAULT_GAS, "default", None)
    assert "not now" in choice.why
    assert (await client.sign(DEPOSIT)).body.gas_limit == DEFAULT_GAS
    assert (await client.call("cash", "deposit", "ST-001", 5, "r")).ok


@pytest.mark.asyncio
async def test_a_node_of_an_older_release_is_no_obstacle(owner: KeySigner) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        problem = {"title": "Method Not Allowed", "status": 405, "detail": "Method Not Allowed", "code": "method-not-allowed"}
        return httpx.Response(405, json=problem)

    async with Client("http://old", signer=owner, chain_id=bytes(32), transport=httpx.MockTransport(answer)) as client:
        choice = await client.gas_for(DEPOSIT, default=5)
        assert (choice.limit, choice.source, choice.refused) == (5, "default", False)


@pytest.mark.asyncio
async def test_a_node_that_takes_too_long_is_not_waited_for(client: Client, node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ESTIMATE_PATIENCE_S", 0.2)
    forever = asyncio.Event()

    async def estimate(*_: object, **__: object) -> None:
        await forever.wait()

    node.estimate = estimate
    choice = await client.gas_for(DEPOSIT)
    assert (choice.limit, choice.source) == (DEFAULT_GAS, "default")
    assert "no dry run within 0.2 s" in choice.why
    forever.set()


@pytest.mark.asyncio
async def test_the_sdk_sends_what_would_be_refused_and_the_chain_says_so(client: Client) -> None:
    choice = await client.gas_for([Call("cash", "fail")])
    assert (choice.limit, choice.source, choice.refused) == (DEFAULT_GAS, "default", True)
    assert (await client.call("cash", "fail")).code == "CASH-AVAILABLE"


@pytest.mark.parametrize(
    ("outcome", "gas_used", "gas_limit", "expected"),
    [
        ("OK", 10_190, 120_380, ("estimate", 120_380, False)),
        ("ABORT", 10_000_000, 0, ("default", DEFAULT_GAS, True)),
        # While blocks execute a dry run has less than the default: what runs out of it may do with that.
        ("OUT_OF_GAS", 1_700_000, 0, ("default", DEFAULT_GAS, False)),
        ("OUT_OF_GAS", 10_000_000, 0, ("default", DEFAULT_GAS, True)),
        ("REJECT", 1, 0, ("default", DEFAULT_GAS, True)),
    ],
)
def test_what_follows_from_a_dry_run(outcome: str, gas_used: int, gas_limit: int, expected: tuple[str, int, bool]) -> None:
    choice = choice_of(EstimateInfo(7, outcome, "" if outcome == "OK" else "X", gas_used, gas_limit), DEFAULT_GAS)
    assert (choice.source, choice.limit, choice.refused) == expected
    assert not GasChoice(5, "given").refused
