"""The guide names every code, built-in, method, rounding and cost of the VM. That its code runs: tests/unit/local/test_guide.py."""

import re
from pathlib import Path

from carbonnode.vm import codes
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.words import BUILTINS, CONTEXT, METHODS, ROUNDINGS

GUIDE = (Path(__file__).resolve().parent.parent.parent.parent / "docs" / "contracts.md").read_text("utf-8")


def test_the_guide_names_everything_a_contract_can_meet() -> None:
    words = set(re.findall(r"[a-z_.-]+", GUIDE))
    for name in (*codes.MEANING, *ROUNDINGS):
        assert f"`{name}`" in GUIDE, name
    for name in (*BUILTINS, *METHODS):
        assert name in words, name
    for name in CONTEXT:
        assert f"ctx.{name}" in GUIDE, name


def test_the_costs_in_the_guide_are_those_of_the_schedule() -> None:
    schedule = SCHEDULES[1]
    for text in (
        f"a read {schedule.read} and {schedule.per_read_item} for each item of a tuple, a write or delete {schedule.write}",
        f"a step of `next` {schedule.step}, an event {schedule.emit} ({schedule.addressed:,} more with `to`)",
        f"a signature check {schedule.signature:,}",
        f"an exponential {schedule.fixed_exp:,}, a power {schedule.fixed_pow:,}",
    ):
        assert text in GUIDE, text
