"""A user node: verifies what it is given, holds its organisation's transactions and events with proofs, and serves them while cut off."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from carbonnode.chain.proof import parse_proof, verify_proof
from carbonnode.chain.transaction import Call
from tests.functional.harness import BANK, NodeHandle, ToyNetwork, signer

pytestmark = pytest.mark.functional
OWNER = signer("owner")
STRANGER = signer("stranger")


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ToyNetwork]:
    with ToyNetwork(tmp_path, users=[("user-1", "ORIGIN"), ("user-2", "OTHER")]).running_at(1) as net:
        yield net


def events_of(node: NodeHandle, user_blocks: int) -> list[dict[str, object]]:
    answer = httpx.get(f"{node.url}/v1/events", params={"first": 0, "last": user_blocks}, timeout=10.0)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["events"]
    return found


def test_own_transactions_arrive_with_proofs_and_are_served_while_cut_off(network: ToyNetwork) -> None:
    user, validator = network.nodes["user-1"], network.validators[0]
    register = network.sign(OWNER, Call("identity", "register", ("ORIGIN",)))
    network.submit(user, [register])
    network.settle(user, [register])
    fund = network.transfer(BANK, OWNER.public_key, 500)
    network.submit(validator, [fund])
    network.settle(validator, [fund])
    through_user = network.transfer(OWNER, BANK.public_key, 5)
    through_validator = network.transfer(OWNER, BANK.public_key, 6)
    network.submit(user, [through_user])
    network.submit(validator, [through_validator])
    settled = network.settle(user, [through_user, through_validator])
    assert [item["outcome"] for item in settled] == ["OK", "OK"]
    assert network.query(user, "balance", OWNER.public_key) == 489

    for node in network.validators:
        assert node.kill(signal.SIGTERM) == 0
    status = user.status()
    assert status is not None
    # The path of trust ends at genesis alone: no node is asked.
    for transaction in (through_user, through_validator):
        proof = httpx.get(f"{user.url}/v1/transactions/{transaction.id.hex()}/proof", timeout=10.0)
        assert proof.status_code == 200, proof.text
        assert verify_proof(parse_proof(proof.content), network.genesis).transaction.id == transaction.id
    refused = network_submit_refused(network, user)
    assert refused == 503


def network_submit_refused(network: ToyNetwork, node: NodeHandle) -> int:
    transaction = network.transfer(OWNER, BANK.public_key, 1)
    answer = httpx.post(f"{node.url}/v1/transactions", content=transaction.raw, headers={"content-type": "application/msgpack"}, timeout=30.0)
    return answer.status_code


def test_a_transaction_of_a_key_of_nobody_is_settled_by_its_proof(network: ToyNetwork) -> None:
    user = network.nodes["user-1"]
    transaction = network.transfer(BANK, STRANGER.public_key, 3)
    network.submit(user, [transaction])
    assert network.settle(user, [transaction])[0]["outcome"] == "OK"
    # Another organisation's node has seen nothing of it.
    other = network.nodes["user-2"]
    network.wait_height(user.height, [other.name])
    assert network.statuses(other, [transaction])[0]["status"] == "unknown"


def test_private_events_reach_their_organisation_only(network: ToyNetwork) -> None:
    user, other, validator = network.nodes["user-1"], network.nodes["user-2"], network.validators[1]
    register = network.sign(OWNER, Call("identity", "register", ("ORIGIN",)))
    network.submit(validator, [register])
    network.settle(validator, [register])
    paid = network.transfer(BANK, OWNER.public_key, 77)
    network.submit(validator, [paid])
    height = int(network.settle(validator, [paid])[0]["height"])
    network.wait_height(height, [user.name, other.name])
    assert user.kill(signal.SIGTERM) == 0
    assert other.kill(signal.SIGTERM) == 0
    assert b"Received" in stored_bytes(user)
    assert b"Received" not in stored_bytes(other)


def stored_bytes(node: NodeHandle) -> bytes:
    """Everything that lies in a stopped node's database files: what isn't there can't leak."""
    return b"".join(path.read_bytes() for path in sorted((node.directory.data_path / "blocks").iterdir()) if path.is_file())


def test_a_user_node_that_was_down_catches_up(network: ToyNetwork) -> None:
    user, validator = network.nodes["user-1"], network.validators[0]
    register = network.sign(OWNER, Call("identity", "register", ("ORIGIN",)))
    network.submit(validator, [register])
    network.settle(validator, [register])
    user.kill()
    assert b"Received" not in stored_bytes(user)
    paid = network.transfer(BANK, OWNER.public_key, 77)
    network.submit(validator, [paid])
    network.settle(validator, [paid])
    for _ in range(5):
        transaction = network.transfer(BANK, STRANGER.public_key, 1)
        network.submit(validator, [transaction])
        network.settle(validator, [transaction])
    user.start()
    height = validator.height
    network.wait_height(height, [user.name])
    network.assert_same(height, [user, validator])
    assert json.loads(httpx.get(f"{user.url}/readyz", timeout=10.0).content)
    # What was addressed to its organisation meanwhile has reached it.
    assert user.kill(signal.SIGTERM) == 0
    assert b"Received" in stored_bytes(user)
