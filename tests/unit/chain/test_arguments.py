"""Arguments by name: every type from text and JSON, and refusals that name method, argument and remedy."""

from typing import Any

import pytest

from carbonnode.chain.arguments import bind_json, bind_text, did_you_mean, find_method, parse_text, split_pairs
from carbonnode.chain.service import ContractAbi, MethodAbi
from carbonnode.errors import ContractError

METHOD = MethodAbi("place", "export", (("book", "str"), ("price_fen", "int"), ("key", "bytes"), ("firm", "bool"), ("units", "tuple")))
ABI = ContractAbi("matching", bytes(32), (METHOD, MethodAbi("depth", "view", ()), MethodAbi("setup", "init", ())))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "5", 5),
        ("int", "-5", -5),
        ("int", "+1_000", 1000),
        ("int", str(2**256), 2**256),
        ("int", str(-(2**256)), -(2**256)),
        ("str", "", ""),
        ("str", "a=b", "a=b"),
        ("bytes", "0x00ff", b"\x00\xff"),
        ("bytes", "00ff", b"\x00\xff"),
        ("bytes", "", b""),
        ("bool", "true", True),
        ("bool", "False", False),
        ("tuple", '[1, "a", {"hex": "00"}, [true, null]]', (1, "a", b"\x00", (True, None))),
        ("tuple", "[]", ()),
    ],
)
def test_texts_become_values(kind: str, text: str, value: Any) -> None:
    found = parse_text(kind, text, "x")
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", ""),
        ("int", "1.5"),
        ("int", "0x10"),
        ("int", "1e9"),
        ("int", " 1"),
        ("int", "\u0661"),
        ("int", str(2**256 + 1)),
        ("int", "9" * 10_000),
        ("bytes", "0x0"),
        ("bytes", "zz"),
        ("bool", "yes"),
        ("bool", "1"),
        ("tuple", "1, 2"),
        ("tuple", '{"a": 1}'),
        ("tuple", "[1.5]"),
        ("tuple", "[" * 10_000),
    ],
)
def test_other_texts_are_refused_by_name(kind: str, text: str) -> None:
    with pytest.raises(ContractError, match=r"cash\.pay: argument a") as refused:
        parse_text(kind, text, "cash.pay: argument a")
    assert refused.value.code == "bad-argument"


def test_arguments_are_bound_in_the_order_of_the_interface() -> None:
    named = {"units": "[1]", "firm": "true", "key": "0x01", "price_fen": "6196", "book": "CEA-2024"}
    assert bind_text("matching", METHOD, named) == ("CEA-2024", 6196, b"\x01", True, (1,))
    as_json = {"book": "CEA-2024", "price_fen": 6196, "key": {"hex": "01"}, "firm": True, "units": [1]}
    assert bind_json("matching", METHOD, as_json) == ("CEA-2024", 6196, b"\x01", True, (1,))
    assert bind_json("matching", METHOD, list(as_json.values())) == ("CEA-2024", 6196, b"\x01", True, (1,))
    assert bind_json("matching", METHOD, ["CEA-2024", {"int": str(2**200)}, "0x01", True, []])[1] == 2**200


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"book": "x"}, "also needs price_fen, key, firm, units"),
        ({"bok": "x"}, "no argument 'bok' .did you mean book?"),
        (["x"], "takes 5 arguments, 1 given"),
        ({"book": 1, "price_fen": 1, "key": "00", "firm": True, "units": []}, "argument book: 1 is no str"),
        ({"book": "x", "price_fen": True, "key": "00", "firm": True, "units": []}, "argument price_fen"),
        ({"book": "x", "price_fen": 1.0, "key": "00", "firm": True, "units": []}, "argument price_fen"),
        ({"book": "x", "price_fen": 1, "key": "0g", "firm": True, "units": []}, "argument key"),
        ({"book": "x", "price_fen": 1, "key": "00", "firm": 1, "units": []}, "argument firm"),
        ({"book": "x", "price_fen": 1, "key": "00", "firm": True, "units": {"hex": "00"}}, "argument units"),
    ],
)
def test_bad_arguments_are_named(given: Any, says: str) -> None:
    with pytest.raises(ContractError, match=says) as refused:
        bind_json("matching", METHOD, given)
    assert "matching.place" in str(refused.value)


def test_endless_nesting_is_refused_shortly() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    for call in (lambda: bind_json("c", MethodAbi("m", "view", (("t", "tuple"),)), [deep]), lambda: parse_text("tuple", "[" * 9_000, "t")):
        with pytest.raises(ContractError) as refused:
            call()
        assert len(str(refused.value)) < 300


def test_methods_are_found_by_kind_with_a_hint() -> None:
    assert find_method(ABI, "place", "export") is METHOD
    with pytest.raises(ContractError, match="send it as a transaction"):
        find_method(ABI, "place", "view")
    with pytest.raises(ContractError, match="query it"):
        find_method(ABI, "depth", "export")
    with pytest.raises(ContractError, match="ran once"):
        find_method(ABI, "setup", "export")
    with pytest.raises(ContractError, match="did you mean depth"):
        find_method(ABI, "deph", "view")
    with pytest.raises(ContractError, match="it has depth"):
        find_method(ABI, "zzz", "view")


def test_pairs() -> None:
    assert split_pairs(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for pairs in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(ContractError):
            split_pairs(pairs)
    assert did_you_mean("zzz", ["abc"]) == ""
