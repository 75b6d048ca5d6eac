"""The business verbs over the shipped contracts: every name stands for an item that the contract returns."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carbonnode.cli.main import run
from carbonnode.cli.query import named
from carbonnode.cli.verbs import VERBS, Verb, method_of

VIEWS = [(group, verb) for group, (_, verbs) in VERBS.items() for verb in verbs if method_of(verb.contract, verb.method).view]


@pytest.mark.parametrize(("group", "verb"), VIEWS, ids=lambda item: item if isinstance(item, str) else item.name)
def test_names_of_results_count_as_the_contract_says(group: str, verb: Verb) -> None:
    """A view whose description begins with a list of items has a name for each of them."""
    listed = re.match(r"\(([^)]*)\)", method_of(verb.contract, verb.method).doc)
    if listed is None:
        return
    items = [item for item in listed[1].split(", ") if item != "..."]
    assert len(verb.fields) == len(items), (group, verb.name, items)
    assert verb.rows == ("..." in listed[1]), (group, verb.name)


def test_names_are_given_to_rows_single_and_empty_answers() -> None:
    assert named([1, 2], ("a", "b")) == {"a": 1, "b": 2}
    assert named([1, 2, 3, 4], ("a", "b"), rows=True) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert named([], ("a", "b"), rows=True) == []
    assert named([], ("a", "b")) is None
    assert named([1], ("a", "b")) == [1]
    assert named(5, ()) == 5


def test_an_order_from_the_command_line(
    market_node: Any, serve: Callable[[Any], str], wallets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CARBONNODE_NODE", serve(market_node))

    def command(line: str, expected: int = 0) -> Any:
        assert run([*line.split(), "--json"]) == expected, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    order = "order place --book CEA-2024 --side B --price-fen 6200 --quantity-t 10 --ref a --from st-001 --wait"
    placed = command(order)
    assert (placed["status"], placed["outcome"]) == ("final", "OK")
    assert (placed["gas_limit"], placed["gas_source"]) == (2 * placed["gas_used"] + 100_000, "estimate")
    order_id = placed["values"][0]
    (listed,) = command("order list --book CEA-2024 --side B --from st-001")["value"]
    assert listed == {"order": order_id, "left_t": 10, "quantity_t": 10, "ref": "a"}
    assert command(f"order show --order-id {order_id} --from st-001")["value"]["entity"] == "ST-001"
    assert command("market depth --book CEA-2024 --levels 5")["value"] == [{"side": "B", "price_fen": 6200, "quantity_t": 10}]
    assert command("market quote --book CEA-2024")["value"]["previous_close_fen"] == 6196
    balance = command("account balance --entity ST-001 --from st-001")["value"]
    assert balance == {"available_fen": 1_000_000_000 - 62_000, "reserved_orders_fen": 62_000, "reserved_withdrawals_fen": 0}
    assert command("allowance holding --entity ST-001 --iv CEA-2024 --from st-001")["value"]["trading_available_t"] == 1_000
    assert command("allowance holdings --entity ST-001 --from st-001")["value"][0]["iv"] == "CEA-2024"
    assert command("account show --entity ST-001 --from st-001")["value"]["status"] == "active"
    assert command("account whoami --from st-001")["value"]["entity"] == "ST-001"
    assert command("market show")["value"]["state"] == "open"
    assert command("market close-of --book CEA-2024 --day 20411")["value"] is None
    assert command("account balance --entity ST-001", expected=1)["code"] == "ACCESS-READ"
    refused = command(order.replace("6200", "9999"), expected=1)
    assert (refused["status"], refused["outcome"], refused["code"], refused["tx_id"]) == ("refused", "ABORT", "TRADE-PRICE-LIMIT", "")
    sent = command(order.replace("6200", "9999") + " --force", expected=1)
    assert (sent["status"], sent["outcome"], sent["code"], sent["gas_source"]) == ("final", "ABORT", "TRADE-PRICE-LIMIT", "default")
    assert command(order + " --gas 90000")["gas_limit"] == 90_000
    assert command(f"order cancel --order-id {order_id} --from st-001 --wait")["values"] == [10]
