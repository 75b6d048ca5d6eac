"""Seven validators: two may fail at once, three stop the chain safely."""

from collections.abc import Iterator

import pytest

from tests.functional.fire_kit import burning, grows, others, primary
from tests.functional.fire_load import Payer, pay

pytestmark = [pytest.mark.functional, pytest.mark.slow]


@pytest.fixture
def fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Payer]:
    with burning(tmp_path_factory.mktemp("seven"), validators=7) as payer:
        yield payer


def test_two_of_seven_may_fail_three_stop_the_chain_and_all_come_back(fire: Payer) -> None:
    net = fire.net
    grows(net, net.validators, 1)
    first = primary(net)
    second = net.validators[(net.validators.index(first) + 1) % 7]
    # The primary and the next one in line: two view changes in a row.
    first.kill()
    second.kill()
    rest = others(net, first, second)
    grows(net, rest)
    third, *four = others(net, first, second)
    third.pause()
    try:
        waiting = pay(net, four[0], 3)
        assert {item["status"] for item in net.statuses(four[0], waiting, wait_ms=2_000)} <= {"pending", "ordered"}
    finally:
        third.resume()
    grows(net, rest)
    first.start()
    second.start()
    grows(net, rest)
    net.wait_height(max(node.height for node in rest), timeout_s=90.0)
    fire.settle()
