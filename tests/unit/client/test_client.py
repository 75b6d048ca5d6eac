"""The SDK against a node in memory behind the real HTTP server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from carbonnode.api.server import ApiServer
from carbonnode.chain.genesis import Genesis, parse_genesis
from carbonnode.chain.service import UNKNOWN, SubmitResult
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Call
from carbonnode.client import Client, NodeRefusal, RemoteError
from carbonnode.errors import ConfigError, InvalidBlock


@pytest_asyncio.fixture
async def url(node: Any) -> AsyncIterator[str]:
    server = await ApiServer.start(node)
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


@pytest_asyncio.fixture
async def client(url: str, owner: KeySigner) -> AsyncIterator[Client]:
    async with Client(url, signer=owner) as client:
        yield client


@pytest.mark.asyncio
async def test_reads_the_node_and_its_chain(client: Client, node: Any) -> None:
    status = await client.status()
    assert (status.height, status.peers, status.peer_list[0].name) == (7, 1, "super-2")
    assert await client.chain_id() == node.chain_id
    block = await client.block(3)
    assert block.certificate is not None
    assert (block.height, len(block.certificate.votes)) == (3, 3)
    assert [b.height for b in await client.blocks(6)] == [6, 7]
    assert await client.contracts() == ["cash", "echo", "matching"]
    deposit = (await client.abi("cash")).method("deposit")
    assert deposit is not None
    assert deposit.parameters == (("entity", "str"), ("amount_fen", "int"), ("ref", "str"))
    assert "carbonnode_height 7" in await client.metrics()


@pytest.mark.asyncio
async def test_a_call_is_signed_sent_and_awaited(client: Client, node: Any, owner: KeySigner) -> None:
    node.entities[owner.public_key] = "ST-001"
    done = await client.call("cash", "deposit", "ST-001", 5, "r")
    assert (done.ok, done.height, done.outcome, done.value) == (True, 8, "OK", 1)
    assert done.events[0].fields == {"amount_fen": 5}
    transaction, _, _ = node.found[bytes.fromhex(done.tx_id)]
    assert transaction.verify_signature()
    assert transaction.body.valid_until == 7 + 500
    failed = await client.call("cash", "fail")
    assert (failed.ok, failed.outcome, failed.code) == (False, "ABORT", "CASH-AVAILABLE")


@pytest.mark.asyncio
async def test_many_calls_in_one_and_many_transactions_in_a_batch(client: Client) -> None:
    calls = [Call("cash", "deposit", ("ST-001", i, "r")) for i in range(64)]
    (done,) = await client.settle([await client.sign(calls)])
    assert done.value == 64
    batch = [await client.sign([Call("cash", "deposit", ("ST-001", i, "r"))]) for i in range(30)]
    settled = await client.settle(batch)
    assert [info.tx_id for info in settled] == [tx.id.hex() for tx in batch]
    assert all(info.ok for info in settled)


@pytest.mark.asyncio
async def test_refusals_carry_the_nodes_code(client: Client, node: Any) -> None:
    with pytest.raises(NodeRefusal) as refused:
        await client.submit(b"junk")
    assert (refused.value.code, refused.value.status) == ("malformed", 400)
    with pytest.raises(NodeRefusal) as missing:
        await client.proof("00" * 32)
    assert missing.value.code == "not-found"
    answers = await client.submit_batch([b"junk", await client.sign([Call("cash", "fail")])])
    assert [a.status for a in answers] == ["refused", "pending"]


@pytest.mark.asyncio
async def test_a_full_pool_is_tried_again_and_a_forgotten_transaction_sent_again(client: Client, node: Any) -> None:
    node.full = True
    asyncio.get_running_loop().call_later(0.3, lambda: setattr(node, "full", False))
    assert (await client.call("cash", "deposit", "ST-001", 5, "r")).ok
    forgotten: list[int] = []
    admit = node._admit

    def forget_once(raw: bytes) -> SubmitResult:
        result: SubmitResult = admit(raw)
        if not forgotten:
            forgotten.append(1)
            del node.found[result.tx_id]
        return result

    node._admit = forget_once
    assert (await client.call("cash", "deposit", "ST-001", 6, "r")).ok
    assert forgotten


@pytest.mark.asyncio
async def test_an_unsettled_transaction_is_a_time_out_that_names_it(client: Client, node: Any) -> None:
    node.hold = True
    with pytest.raises(RemoteError, match="weren't settled within") as late:
        await client.call("cash", "deposit", "ST-001", 5, "r", timeout_s=0.3)
    assert late.value.code == "timeout"


@pytest.mark.asyncio
async def test_a_refused_resubmission_of_a_final_transaction_is_final(client: Client, node: Any) -> None:
    transaction = await client.sign([Call("cash", "deposit", ("ST-001", 5, "r"))])
    assert (await client.settle([transaction]))[0].ok
    node._admit = lambda raw: SubmitResult(transaction.id, "refused", "repeated", "it is in a block")
    assert (await client.settle([transaction]))[0].ok
    node.found.clear()
    (lost,) = await client.settle([transaction])
    assert (lost.status, lost.code, lost.message) == ("refused", "repeated", "it is in a block")


@pytest.mark.asyncio
async def test_queries_are_signed_when_there_is_a_signer(client: Client, node: Any, owner: KeySigner) -> None:
    big = (1 << 200, "x", b"\x00\xff", True, (1, "a"))
    assert (await client.query("echo", "back", *big[:4], (1, "a"))).decoded == big
    assert (await client.query("echo", "whoami")).decoded == owner.public_key
    assert (await client.query("echo", "whoami", signed=False)).decoded == bytes(32)
    assert (await client.query("cash", "balance", "ST-001", signed=False)).code == "ACCESS-READ"
    other = KeySigner(b"\x43" * 32)
    assert (await client.query("echo", "whoami", signer=other, height=3)).decoded == other.public_key
    assert node.queried[-1][4] == 3
    for _ in range(5):  # within one millisecond or not: never taken for a replay
        assert (await client.query("echo", "whoami")).outcome == "OK"


@pytest.mark.asyncio
async def test_without_a_signer_signing_is_refused_locally(url: str) -> None:
    async with Client(url) as client:
        with pytest.raises(ConfigError, match="signer"):
            await client.call("cash", "fail")
        with pytest.raises(ConfigError, match="signer"):
            await client.query("echo", "whoami", signed=True)
        assert (await client.query("echo", "whoami")).decoded == bytes(32)


@pytest.mark.asyncio
async def test_a_pinned_chain_is_held(url: str, owner: KeySigner) -> None:
    async with Client(url, signer=owner, chain_id=b"\x01" * 32) as client:
        with pytest.raises(RemoteError, match="serves the chain"):
            await client.sign([Call("cash", "fail")])


@pytest.mark.asyncio
async def test_proofs_verify_offline_and_tampering_shows(client: Client, node: Any) -> None:
    genesis = parse_genesis(await node.genesis())
    done = await client.call("cash", "deposit", "ST-001", 5, "r")
    verified = await client.verified(done.tx_id, genesis)
    assert verified.to_dict()["signers"] == ["super-1", "super-2", "coordination-1"]
    assert verified.transaction.id.hex() == done.tx_id
    other = Genesis(network="other", time_ms=1, validators=genesis.validators.validators, ca_roots=(), contracts=genesis.contracts)
    with pytest.raises(InvalidBlock, match="another chain"):
        await client.verified(done.tx_id, other)


@pytest.mark.asyncio
async def test_events_public_and_private(client: Client, node: Any, owner: KeySigner, make_trade: Any) -> None:
    private = make_trade(4, 6300)
    private = msgspec.structs.replace(private, event=msgspec.structs.replace(private.event, to="ST-001", name="Fill"))
    node.records += [make_trade(3, 6200), private, make_trade(5, 6210)]
    assert [e.height for e in await client.event_page(4, 5)] == [5]

    async def take(count: int, **options: Any) -> list[str]:
        names = []
        stream = client.events(first_height=3, **options)
        async with asyncio.timeout(20):
            async for event in stream:
                names.append(event.event.name)
                if len(names) == count:
                    break
        await stream.aclose()
        return names

    assert await take(2) == ["Trade", "Trade"]
    with pytest.raises(RemoteError) as forbidden:
        await take(1, private=True)
    assert forbidden.value.code == "forbidden", str(forbidden.value)
    node.entities[owner.public_key] = "ST-001"
    assert await take(3, private=True) == ["Trade", "Fill", "Trade"]


@pytest.mark.asyncio
async def test_the_next_node_is_asked_when_one_is_down(url: str, node: Any) -> None:
    async with Client(["http://127.0.0.1:1", url]) as client:
        assert (await client.status()).height == 7
        assert client.url == url
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(RemoteError, match=r"http://127\.0\.0\.1:1") as down:
            await client.status()
        assert down.value.code == "unreachable"


@pytest.mark.asyncio
async def test_answers_that_arent_a_nodes_are_named() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.url.path.endswith("status") else 500, content=b"<html>")

    async with Client("http://127.0.0.1:9", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(RemoteError, match="documented form"):
            await client.status()
        with pytest.raises(RemoteError, match="is it a carbonnode node"):
            await client.contracts()


@pytest.mark.parametrize("bad", ["", "127.0.0.1:27001", "ftp://x", "http://"])
def test_bad_addresses_are_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="node address"):
        Client(bad)


@pytest.mark.asyncio
async def test_waiting_for_a_height(client: Client, node: Any) -> None:
    asyncio.get_running_loop().call_later(0.2, lambda: setattr(node, "height", 12))
    assert (await client.wait_for_height(12)).height == 12
    with pytest.raises(RemoteError, match="didn't reach height 99"):
        await client.wait_for_height(99, timeout_s=0.2)


@pytest.mark.asyncio
async def test_unknown_transactions_are_said_to_be_unknown(client: Client) -> None:
    assert (await client.transaction("00" * 32)).status == UNKNOWN
