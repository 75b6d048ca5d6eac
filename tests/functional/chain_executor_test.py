"""Executor processes of a real network are killed, stopped and flooded with questions while blocks are made: nothing is lost, nobody waits long."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from carbonnode.chain.transaction import Transaction
from tests.functional.fire_strikes import executor_restarts
from tests.functional.harness import BANK, SUPPLY, NodeHandle, ToyNetwork, signer

pytestmark = pytest.mark.functional
PEOPLE = [signer(f"person {number}") for number in range(8)]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ToyNetwork]:
    net = ToyNetwork(tmp_path)
    try:
        for node in net.validators:
            config = node.directory.path / "config.toml"
            config.write_text(re.sub(r"(?m)^patience_s = .*$", "patience_s = 3", config.read_text()))
            assert "patience_s = 3" in config.read_text()
        net.up()
        net.wait_height(1)
        yield net
    finally:
        net.down()


def executor_of(node: NodeHandle) -> int:
    """The executor's process id: the node's only child."""
    assert node.process is not None
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    assert len(children) == 1, children
    return int(children[0])


def pay(net: ToyNetwork, node: NodeHandle, count: int) -> list[Transaction]:
    transactions = [net.transfer(BANK, PEOPLE[number % len(PEOPLE)].public_key, 1, max(node.height, 0)) for number in range(count)]
    assert {answer["status"] for answer in net.submit(node, transactions)} <= {"pending", "ordered", "final"}
    return transactions


def check_all(net: ToyNetwork, paid: int) -> None:
    height = max(node.height for node in net.running)
    net.wait_height(height)
    net.assert_same(height)
    for node in net.validators:
        assert sum(net.query(node, "balance", person.public_key) for person in PEOPLE) == paid, node.name
        assert net.query(node, "balance", BANK.public_key) == SUPPLY - paid, node.name


def says_what_confines(node: NodeHandle) -> None:
    """The status lists the means, and each line is of a known one."""
    status = node.status()
    assert status is not None
    assert status["confinement"]
    assert all(line.split(":")[0] in {"no_new_privs", "landlock", "seccomp", "memory", "none"} for line in status["confinement"])
    assert any(line.startswith("memory: on, at most 4096 MiB") for line in status["confinement"]) or "none" in status["confinement"][0]


def test_executors_killed_and_stopped_under_load_are_replaced_and_nothing_is_lost(network: ToyNetwork) -> None:
    first, second, third, fourth = network.validators
    sent = []
    for node in network.validators:
        says_what_confines(node)
    for node, number in ((first, signal.SIGKILL), (second, signal.SIGKILL), (third, signal.SIGSTOP), (fourth, signal.SIGKILL)):
        sent += pay(network, second, 150)
        os.kill(executor_of(node), number)
        sent += pay(network, second, 150)
        network.wait(f"a new executor at {node.name}", partial(executor_restarts, node))
    # All at once: no validator can execute for a moment, and none may forget what it holds.
    sent += pay(network, first, 150)
    for node in network.validators:
        os.kill(executor_of(node), signal.SIGKILL)
    network.settle(first, sent, timeout_s=120.0)
    check_all(network, len(sent))
    assert "no answer for 3 s" in third.directory.log_path.read_text()
    assert all(node.process is not None and node.process.poll() is None for node in network.validators)


@pytest.mark.slow
def test_payments_are_final_under_a_flood_of_views(network: ToyNetwork) -> None:
    """Views asked for without end at every validator: payments of a client are final all the same, and floods get answers or `busy`."""
    over = threading.Event()
    answers: dict[int, int] = {}

    def flood(node: NodeHandle) -> None:
        with httpx.Client(timeout=30.0) as client:
            while not over.is_set():
                code = client.post(f"{node.url}/v1/contracts/toy/balance", json={"args": [{"hex": BANK.public_key.hex()}]}).status_code
                answers[code] = answers.get(code, 0) + 1

    threads = [threading.Thread(target=flood, args=(node,)) for node in network.validators for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        paid = pay(network, network.validators[0], 200)
        network.settle(network.validators[0], paid, timeout_s=60.0)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert answers.get(200, 0) > 20
    assert set(answers) <= {200, 429, 503}, answers
    check_all(network, 200)
