"""Four validators whose processes and clocks go bad, one fault after another, on one network under payments.

Bounded here; `make fire` stops processes for minutes and draws 200 crash points (`fire_long_test.py`).
"""

import json
import random
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from carbonnode.cli.main import run
from carbonnode.node.clock import OFFSET_VARIABLE
from tests.functional.fire_kit import burning, grows, others, primary, view
from tests.functional.fire_load import Payer
from tests.functional.fire_strikes import strike_at_random
from tests.functional.harness import NodeHandle

pytestmark = [pytest.mark.functional, pytest.mark.slow]
STOPPED_S = 4.0


@pytest.fixture(scope="module")
def fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Payer]:
    with burning(tmp_path_factory.mktemp("processes")) as payer:
        yield payer


def test_a_stopped_primary_is_replaced_and_catches_up_when_it_goes_on(fire: Payer) -> None:
    net = fire.net
    stopped = primary(net)
    rest = others(net, stopped)
    before = max(view(node) for node in rest)
    stopped.pause()
    try:
        net.wait("the others to enter another view", lambda: min(view(node) for node in rest) > before)
        grows(net, rest)
    finally:
        stopped.resume()
    grows(net, net.validators)
    fire.settle()
    # An operator finds in their logs whom they mistrusted, and when they left.
    logs = [node.directory.log_path.read_text() for node in rest]
    assert any(f'"event":"view left","node":"{node.name}"' in log for node, log in zip(rest, logs, strict=True))


def test_all_stopped_at_once_go_on_where_they_stood(fire: Payer) -> None:
    net = fire.net
    for node in net.validators:
        node.pause()
    time.sleep(STOPPED_S)  # the fault itself: nothing runs that could be waited for
    for node in net.validators:
        node.resume()
    grows(net, net.validators)
    fire.settle()


def missed_links(node: NodeHandle, capsys: pytest.CaptureFixture[str]) -> str:
    """What `carbonnode doctor` says is wrong with a node's links; nothing if they are well."""
    capsys.readouterr()
    status = run(["doctor", "--node", node.url, "--json"])
    (row,) = [row for row in json.loads(capsys.readouterr().out)["checks"] if row["check"] == "links"]
    assert status == 1 or row["ok"]
    return "" if row["ok"] else str(row["detail"])


def links_are_well(node: NodeHandle, capsys: pytest.CaptureFixture[str]) -> bool:
    return not missed_links(node, capsys)


def test_a_rolling_restart_costs_no_payment_and_each_gap_is_told_and_clears(fire: Payer, capsys: pytest.CaptureFixture[str]) -> None:
    """All validators restarted one after the other under load; `doctor` on a neighbour fails within a minute, and is well again by itself."""
    net = fire.net
    for node in net.validators:
        neighbour = others(net, node)[0]
        assert node.kill(signal.SIGTERM) == 0
        missed = net.wait(f"{neighbour.name} to miss {node.name}", partial(missed_links, neighbour, capsys), 60.0)
        assert node.name in missed
        node.start()
        net.wait(f"{node.name} to answer", node.answers)
        grows(net, net.validators, 1)
        net.wait(f"{neighbour.name} to be well again", partial(links_are_well, neighbour, capsys), 60.0)
    fire.settle()


def test_crash_points_at_random(fire: Payer) -> None:
    struck = strike_at_random(fire, random.Random(7), 2)
    assert len(struck) == 2
    fire.settle()


def restart(node: NodeHandle, offset_ms: int) -> None:
    """Start a validator again with a wall clock that is off."""
    assert node.kill(signal.SIGTERM) == 0
    node.environment[OFFSET_VARIABLE] = str(offset_ms)
    node.start()


def test_clocks_within_the_bound_change_nothing_and_one_far_off_costs_its_node_the_lead(fire: Payer) -> None:
    net = fire.net
    first, second, third, fourth = net.validators
    for node, offset_ms in ((third, 2_000), (fourth, -2_000)):
        restart(node, offset_ms)
        net.wait(f"{node.name} to answer", node.answers)
        grows(net, net.validators, 1)
    leader = primary(net)
    restart(leader, 60_000)
    net.wait(f"{leader.name} to answer", leader.answers)
    grows(net, net.validators, 5)
    # A block's time lies within the bound of honest clocks, whatever the one far off proposes: nobody's market day begins early.
    now_ms = time.time_ns() // 1_000_000
    for node in (first, second):
        status = node.status()
        assert status is not None
        assert status["block_time_ms"] < now_ms + 30_000
    fire.settle()
