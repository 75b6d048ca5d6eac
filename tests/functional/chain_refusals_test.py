"""Bad input to a whole node: each is refused with an error that names the thing, and the network goes on."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from carbonnode.chain.genesis import Genesis
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.node.config import StorageSection, to_toml
from tests.functional.harness import BANK, ToyNetwork, signer

pytestmark = pytest.mark.functional


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ToyNetwork]:
    with ToyNetwork(tmp_path).running_at(1) as net:
        yield net


def transfer_to_other_chain() -> Transaction:
    body = Body(b"\1" * 32, BANK.public_key, bytes(16), 100, 100_000, (Call("toy", "transfer", (BANK.public_key, 1)),))
    return Transaction.sign(body, BANK)


def forged(transaction: Transaction) -> bytes:
    """The same transaction with a signature that isn't the sender's."""
    signature = bytes([transaction.signature[0] ^ 1]) + transaction.signature[1:]
    return msgspec.msgpack.encode([transaction.body_bytes, signature])


def test_bad_transactions_are_refused_by_name_and_good_ones_beside_them_pass(network: ToyNetwork) -> None:
    node = network.validators[0]
    good = network.transfer(BANK, signer("a").public_key, 1)
    late = Transaction.sign(Body(network.genesis.chain_id, BANK.public_key, b"n" * 16, 0, 100_000, (Call("toy", "transfer", (b"x", 1)),)), BANK)
    far = Transaction.sign(Body(network.genesis.chain_id, BANK.public_key, b"n" * 16, 10**6, 100_000, (Call("toy", "transfer", (b"x", 1)),)), BANK)
    hungry = Transaction.sign(Body(network.genesis.chain_id, BANK.public_key, b"n" * 16, 100, 10**12, (Call("toy", "transfer", (b"x", 1)),)), BANK)
    fake = Transaction(forged(network.transfer(BANK, signer("b").public_key, 1)), b"", b"")
    answers = network.submit(node, [transfer_to_other_chain(), late, far, hungry, fake, Transaction(b"garbage", b"", b""), good, good])
    codes = [answer["code"] for answer in answers]
    assert codes == ["wrong-chain", "expired", "valid-until", "gas-limit", "signature", "malformed", "", ""]
    network.settle(node, [good])
    again = network.submit(network.validators[1], [good])
    assert again[0]["status"] in ("ordered", "final")
    assert network.query(node, "balance", signer("a").public_key) == 1


def test_garbage_on_the_peer_port_changes_nothing(network: ToyNetwork) -> None:
    node = network.validators[0]
    for data in (b"\0" * 10_000, b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 40):
        with socket.create_connection(("127.0.0.1", node.peer_port), timeout=5) as connection:
            connection.sendall(data)
    network.wait_height(node.height + 2)
    status = node.status()
    assert status is not None
    assert status["view"] == 0


def test_a_second_process_on_the_same_directory_is_refused(network: ToyNetwork) -> None:
    node = network.validators[0]
    first, node.process = node.process, None
    node.start()
    assert node.ended() == 1
    assert "in use by another process" in node.tail()
    node.process = first
    network.wait_height(node.height + 1)


def test_another_genesis_is_refused_and_nothing_is_touched(network: ToyNetwork) -> None:
    node = network.validators[3]
    assert node.kill(signal.SIGTERM) == 0
    genesis = node.directory.genesis_path.read_bytes()
    other = Genesis(
        network="another", time_ms=1, validators=network.genesis.validators.validators, ca_roots=network.genesis.ca_roots,
        contracts=network.genesis.contracts,
    )
    node.directory.genesis_path.write_bytes(other.to_json())
    node.start()
    assert node.ended() == 1
    assert "holds the chain" in node.tail()
    node.directory.genesis_path.write_bytes(genesis)
    node.start()
    network.wait_height(network.validators[0].height, [node.name])


def test_a_lost_database_file_is_named_with_the_remedy(network: ToyNetwork) -> None:
    node = network.validators[3]
    assert node.kill(signal.SIGTERM) == 0
    network.ruined.add(node.name)
    for path in (node.directory.data_path / "blocks").glob("MANIFEST-*"):
        path.unlink()
    node.start()
    assert node.ended() == 1
    tail = node.tail()
    assert "MANIFEST" in tail
    assert "carbonnode" in tail


def test_a_node_without_disk_space_doesnt_vote_and_resumes(network: ToyNetwork) -> None:
    node = network.validators[2]
    assert node.kill(signal.SIGTERM) == 0
    config = node.directory.config()
    full = msgspec.structs.replace(config, storage=StorageSection(reserve_bytes=1 << 60))
    node.directory.config_path.write_text(to_toml(full))
    node.start()
    network.wait(f"{node.name} to answer", node.answers)
    stands = node.height
    transaction = network.transfer(BANK, signer("c").public_key, 1)
    network.submit(network.validators[0], [transaction])
    network.settle(network.validators[0], [transaction])
    assert node.height == stands
    node.kill()
    node.directory.config_path.write_text(to_toml(config))
    node.start()
    network.wait_height(network.validators[0].height, [node.name])
    network.assert_same(stands + 1)
