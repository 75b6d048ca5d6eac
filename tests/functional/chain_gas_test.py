"""Gas from dry runs on a real network: at a validator, through a user node, where a node can't, and what a block holds then."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carbonnode.chain.genesis import Parameters
from carbonnode.chain.transaction import Call
from carbonnode.cli.main import run
from carbonnode.client import DEFAULT_GAS, Client, NodeRefusal
from carbonnode.identity.keystore import KeyStore, Strength
from tests.functional.harness import BANK, HTTP, PASSPHRASE, NodeHandle, ToyNetwork, signer, wait_for

pytestmark = pytest.mark.functional
OWNER, OTHER = signer("owner"), signer("other")
Execute = Callable[..., Any]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ToyNetwork]:
    with ToyNetwork(tmp_path / "net", users=[("user-1", "ORIGIN")]).running_at(1) as net:
        yield net


@pytest.fixture
def command(network: ToyNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Execute:
    """Run a command line against a node: its JSON document and stderr."""
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    store = KeyStore(tmp_path / "wallets")
    for name in ("bank", "owner", "other"):
        store.create(name, PASSPHRASE, seed=name.encode().ljust(32, b"\0"), strength=Strength.THROW_AWAY)
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    monkeypatch.setenv("CARBONNODE_WALLETS", str(tmp_path / "wallets"))

    def execute(node: NodeHandle, *words: str, expected: int = 0) -> tuple[Any, str]:
        capsys.readouterr()
        status = run([*words, "--node", node.url, "--json"])
        printed = capsys.readouterr()
        assert status == expected, f"{' '.join(words)}\n{printed.err}"
        return json.loads(printed.out), printed.err

    return execute


def pay(to: bytes, amount: int, wallet: str) -> tuple[str, ...]:
    return ("tx", "call", "toy", "transfer", "--arg", f"to=0x{to.hex()}", "--arg", f"amount={amount}", "--from", wallet, "--wait")


def test_a_wallet_declares_what_a_dry_run_says(network: ToyNetwork, command: Execute) -> None:
    validator, user = network.validators[0], network.nodes["user-1"]
    for key in (OWNER, OTHER):
        network.holders.add(key.public_key)
    for node in (validator, user):
        done, _ = command(node, *pay(OWNER.public_key, 500, "bank"))
        assert (done["status"], done["outcome"], done["gas_source"]) == ("final", "OK", "estimate")
        # The second payment finds the account that the first one made: both needs are near one another.
        assert 2 * done["gas_used"] < done["gas_limit"] < 4 * done["gas_used"] + 100_000 < DEFAULT_GAS // 10
        refused, told = command(node, *pay(BANK.public_key, 1 << 40, "owner"), expected=1)
        assert (refused["status"], refused["outcome"], refused["code"], refused["tx_id"]) == ("refused", "ABORT", "toy.balance", "")
        assert "nothing was sent" in told
        sent, _ = command(node, *pay(BANK.public_key, 1 << 40, "owner"), "--force", expected=1)
        assert (sent["status"], sent["outcome"], sent["code"], sent["gas_limit"]) == ("final", "ABORT", "toy.balance", DEFAULT_GAS)
        given, _ = command(node, *pay(OWNER.public_key, 1, "bank"), "--gas", "90000")
        assert (given["status"], given["outcome"], given["gas_limit"], given["gas_source"]) == ("final", "OK", 90_000, "given")
    assert network.query(validator, "balance", OWNER.public_key) == 1_002
    assert HTTP.post(f"{validator.url}/v1/transactions/estimate", json={"calls": []}, timeout=10).json()["code"] == "bad-request"
    unsigned = {"calls": [{"contract": "toy", "method": "transfer", "args": [{"hex": "00" * 32}, 1]}]}
    for node in (validator, user):
        assert HTTP.post(f"{node.url}/v1/transactions/estimate", json=unsigned, timeout=10).status_code == 401


def test_a_user_node_asks_only_as_its_own(network: ToyNetwork, command: Execute) -> None:
    """What a stranger's key would come to is no more to be had through a user node than its views are; the wallet declares the default and goes on."""
    validator, user = network.validators[0], network.nodes["user-1"]
    network.holders.add(OTHER.public_key)
    # Without a wallet that waits: the toy tells of no change, and nodes would keep that the key was nobody's.
    register = network.sign(OTHER, Call("identity", "register", ("OTHER",)))
    network.submit(validator, [register])
    network.settle(validator, [register])
    command(validator, *pay(OTHER.public_key, 5, "bank"))
    network.wait_height(validator.height, [user.name])

    async def ask() -> str:
        async with Client(user.url, signer=OTHER) as client:
            with pytest.raises(NodeRefusal) as caught:
                await client.estimate([Call("toy", "transfer", (BANK.public_key, 1))])
            return caught.value.code

    assert asyncio.run(ask()) == "forbidden"
    # A proof brings what this node doesn't hear of as its own.
    done, told = command(user, *pay(BANK.public_key, 1, "other"))
    assert (done["status"], done["outcome"], done["gas_limit"], done["gas_source"]) == ("final", "OK", DEFAULT_GAS, "default")
    assert "another organisation" in told

    for node in network.validators:
        assert node.kill(signal.SIGTERM) == 0
    wait_for("the user node to stand alone", lambda: (user.status() or {}).get("warnings"))

    async def choose() -> tuple[int, str]:
        async with Client(user.url, signer=OWNER) as client:
            choice = await client.gas_for([Call("toy", "transfer", (BANK.public_key, 1))])
            return choice.limit, choice.source

    assert asyncio.run(choose()) == (DEFAULT_GAS, "default")


def test_a_block_holds_more_than_25_of_a_wallets_transactions(network: ToyNetwork) -> None:
    """With the default limit it couldn't, whatever they use."""
    validator, count = network.validators[0], 60
    assert Parameters().max_block_gas // DEFAULT_GAS == 25
    network.holders.add(OWNER.public_key)

    async def send() -> set[int]:
        async with Client(validator.url, signer=BANK) as client:
            calls = [Call("toy", "transfer", (OWNER.public_key, 1))]
            limit = (await client.gas_for(calls)).limit
            signed = [await client.sign(calls, gas=limit) for _ in range(count)]
            done = await client.settle(signed, timeout_s=60)
            assert all(info.ok for info in done)
            return {info.height for info in done if info.height is not None}

    def fullest() -> bool:
        return any(int(network.block(validator, height)["transactions"]) > 25 for height in asyncio.run(send()))

    wait_for("a block with more than 25 of them", fullest, timeout_s=120)
