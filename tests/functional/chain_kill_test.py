"""Four validators as processes over libp2p with a toy currency, killed with -9 at chosen and at awkward moments: nothing is lost, nothing forks."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from carbonnode.chain.transaction import Transaction
from carbonnode.storage.crashpoints import POINTS, VARIABLE
from tests.functional.harness import BANK, SUPPLY, NodeHandle, ToyNetwork, signer

pytestmark = pytest.mark.functional
PEOPLE = [signer(f"person {number}") for number in range(8)]
EXECUTOR_POINTS = tuple(point for point in POINTS if point.startswith(("execute.", "finalise.", "flush.")))
NODE_POINTS = tuple(point for point in POINTS if point not in EXECUTOR_POINTS)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ToyNetwork]:
    with ToyNetwork(tmp_path).running_at(1) as net:
        yield net


def pay(net: ToyNetwork, node: NodeHandle, count: int = 10) -> list[Transaction]:
    """Submit payments of 1 from the bank; none may be refused."""
    transactions = [net.transfer(BANK, PEOPLE[number % len(PEOPLE)].public_key, 1, max(node.height, 0)) for number in range(count)]
    answers = net.submit(node, transactions)
    assert {answer["status"] for answer in answers} <= {"pending", "ordered", "final"}, answers
    return transactions


def check_all(net: ToyNetwork, paid: int) -> None:
    """Every validator holds the same chain and the sums of what was paid."""
    height = max(node.height for node in net.running)
    net.wait_height(height)
    net.assert_same(height)
    for node in net.validators:
        received = sum(net.query(node, "balance", person.public_key) for person in PEOPLE)
        assert received == paid, node.name
        assert net.query(node, "balance", BANK.public_key) == SUPPLY - paid, node.name


def test_the_network_goes_on_without_its_primary_which_catches_up(network: ToyNetwork) -> None:
    first, second, third, _ = network.validators
    network.settle(second, pay(network, second))
    status = second.status()
    assert status is not None
    assert status["primary"] == first.name
    first.kill()
    network.settle(second, pay(network, second), timeout_s=10.0)
    for _ in range(3):
        network.settle(third, pay(network, third))
    first.start()
    network.wait_height(second.height, [first.name])
    network.settle(first, pay(network, first))
    check_all(network, 60)


def test_two_kills_stop_the_chain_safely_and_it_resumes(network: ToyNetwork) -> None:
    first, second, third, fourth = network.validators
    network.settle(first, pay(network, first))
    third.kill()
    fourth.kill()
    waiting = pay(network, first)
    found = network.statuses(first, waiting, wait_ms=3_000)
    assert all(item["status"] != "final" for item in found)
    third.start()
    network.settle(second, waiting)
    fourth.start()
    network.wait_height(second.height, [fourth.name])
    check_all(network, 20)


def test_all_killed_at_once_resume_where_they_stood(network: ToyNetwork) -> None:
    first = network.validators[0]
    network.settle(first, pay(network, first))
    inflight = pay(network, first, 200)
    network.wait("some of them to be ordered", lambda: any(item["status"] != "pending" for item in network.statuses(first, inflight)))
    running = network.running
    for node in running:
        assert node.process is not None
        node.process.kill()
    for node in running:
        assert node.ended() == -signal.SIGKILL
    network.up()
    network.wait_height(max(node.height for node in network.validators) + 1)
    # What only waited in memory is unknown now; its owner sends it again, and it is executed once.
    network.submit(first, inflight)
    network.settle(first, inflight)
    check_all(network, 210)


@pytest.mark.slow
def test_every_crash_point_of_the_node_process(network: ToyNetwork) -> None:
    paid = 0
    for number, point in enumerate(NODE_POINTS):
        victim = network.validators[number % 4]
        other = network.validators[(number + 1) % 4]
        assert victim.kill(signal.SIGTERM) == 0
        victim.start({VARIABLE: f"{point}:{3 + number}"})
        while victim.process is not None and victim.process.poll() is None:
            network.settle(other, pay(network, other, 2))
            paid += 2
        assert victim.ended() == -signal.SIGKILL, point
        victim.start()
        network.wait_height(other.height, [victim.name])
    check_all(network, paid)


@pytest.mark.slow
def test_every_crash_point_of_the_executor_process(network: ToyNetwork) -> None:
    paid = 0
    for number, point in enumerate(EXECUTOR_POINTS):
        victim = network.validators[number % 4]
        other = network.validators[(number + 1) % 4]
        assert victim.kill(signal.SIGTERM) == 0
        victim.start({VARIABLE: f"{point}:1"})
        # The daemon starts its executor again, with the same crash point: it dies again, until the daemon gives up or is killed as well.
        while victim.process is not None and victim.process.poll() is None and executor_restarts(victim) < 2:
            network.settle(other, pay(network, other, 2))
            paid += 2
        if victim.process is not None and victim.process.poll() is None:
            victim.kill()
        else:
            assert victim.ended() == 1, point
        victim.start()
        network.wait_height(other.height, [victim.name])
    check_all(network, paid)


def executor_restarts(node: NodeHandle) -> int:
    """How often the daemon had to start its executor again, by its metrics."""
    try:
        text = httpx.get(f"{node.url}/metrics", timeout=5.0).text
    except httpx.TransportError:
        return 0
    return next((int(float(line.split()[1])) for line in text.splitlines() if line.startswith("carbonnode_executor_restarts_total")), 0)


def test_sigterm_in_the_middle_of_work_ends_with_status_0(network: ToyNetwork) -> None:
    first = network.validators[0]
    pay(network, first, 100)
    for node in network.validators:
        assert node.kill(signal.SIGTERM) == 0, node.tail()
    network.up()
    network.wait_height(2)
    status = first.status()
    assert status is not None
    height = min(node.height for node in network.validators)
    network.assert_same(height)
