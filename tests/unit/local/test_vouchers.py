import pytest

from carbonnode.errors import ContractError
from carbonnode.local import vouchers

EXAMPLE = "1T-CNSH-20251119-143207-CEA24-00000412-0-OH"


def test_parse() -> None:
    found = vouchers.parse(EXAMPLE.lower())
    assert found["code"] == EXAMPLE.replace("-", "")
    assert found["display"] == EXAMPLE
    assert (found["type_name"], found["part_name"], found["number"], found["date"], found["venue"]) == ("trade", "whole", 412, "20251119", "CNSH")


def test_check() -> None:
    assert vouchers.check(EXAMPLE)["ok"] is True
    wrong = vouchers.check(EXAMPLE[:-1] + "I")
    assert wrong["ok"] is False
    assert wrong["error"] == "VOUCHER-CHECK"
    assert "check characters" in wrong["message"]


def test_refusal_names_the_field() -> None:
    with pytest.raises(ContractError, match="36 characters"):
        vouchers.parse("1T-CNSH")
