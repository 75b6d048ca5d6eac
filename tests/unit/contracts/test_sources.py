"""Every shipped contract passes the checker and keeps the house's habits."""

import ast
import re

import pytest

from carbonnode import resources
from carbonnode.local.ruleset import CONTRACTS
from carbonnode.vm.contract import compile_contract

CODE = re.compile(r'(?:require\([^"]*|abort\()"([^"]+)"\)')


@pytest.mark.parametrize("name", CONTRACTS)
def test_contract_is_accepted(name: str) -> None:
    contract = compile_contract(name, resources.contract_source(name).encode())
    assert contract.abi.exports or contract.abi.views


def test_no_source_is_left_out() -> None:
    assert sorted(CONTRACTS) == sorted(path.stem for path in resources.contracts_dir().glob("*.py"))


@pytest.mark.parametrize("name", CONTRACTS)
def test_public_methods_say_what_they_do(name: str) -> None:
    contract = compile_contract(name, resources.contract_source(name).encode())
    for method in (*contract.abi.exports.values(), *contract.abi.views.values()):
        assert len(method.doc) > 10, f"{name}.{method.name} has no docstring"


@pytest.mark.parametrize("name", CONTRACTS)
def test_sizes(name: str) -> None:
    source = resources.contract_source(name)
    assert source.count("\n") <= 600
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno < 70, f"{name}.{node.name} is too long"


@pytest.mark.parametrize("name", CONTRACTS)
def test_refusal_codes_name_a_rule(name: str) -> None:
    codes = CODE.findall(resources.contract_source(name))
    for code in codes:
        assert re.fullmatch(r"[A-Z]+(-[A-Z0-9]+)+", code), f"{name} refuses with {code!r}"


def test_public_events_name_no_party() -> None:
    """An event without `to` goes to everybody: it may hold no entity, order, serial or voucher."""
    private = {"entity", "org", "order", "serials", "voucher", "original", "correction", "maker", "taker", "buyer", "seller", "key", "ref"}
    for name in CONTRACTS:
        for node in ast.walk(ast.parse(resources.contract_source(name))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "emit":
                fields = {keyword.arg for keyword in node.keywords}
                assert "to" in fields or not fields & private, f"{name}: line {node.lineno} tells everybody {fields & private}"
