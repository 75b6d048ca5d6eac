"""The profile gives every unit of gas to a line, and changes nothing about the run."""

from pathlib import Path

import pytest

from carbonnode.local import contract_tools as tools

LOOPS = '''"""Every shape of statement."""

log = Map(int, str)


@export
def work(n: int) -> int:
    """Loops, branches, helpers."""
    total = 0
    for i in range(n):
        if i % 2 == 0:
            total += square(
                i,
            )
        else:
            total -= 1
    while total > 1000:
        total = total // 2
    names = [str(i) for i in range(n) if i > 2]
    log[n] = "x" * n
    log[0] = ",".join(sorted(names))
    return total


def square(k: int) -> int:
    return k * k


@view
def read(n: int) -> str:
    return log.get(n, "")


@export
def broken(n: int) -> int:
    for i in range(n):
        require(i < 3, "loops.three")
    return 0
'''


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    path = tmp_path / "loops.py"
    path.write_text(LOOPS)
    return path


@pytest.mark.parametrize(("method", "args", "limit"), [("work", [9], 1_000_000), ("read", [1], 1_000_000), ("broken", [9], 50_000), ("work", [60], 3_000)])
def test_a_profiled_run_is_the_run_and_every_gas_has_a_place(loops: Path, method: str, args: list[int], limit: int) -> None:
    plain = tools.run([loops], method, args=args, gas=limit)
    found = tools.gas([loops], method, args=args, gas=limit)
    assert (found["outcome"], found["code"], found["gas_used"]) == (plain["outcome"], plain["code"], plain["gas_used"])
    assert sum(line["gas"] for line in found["lines"]) + found["outside"] + found["forfeited"] == found["gas_used"]
    assert all(line["gas"] >= 0 for line in found["lines"])
    assert (found["forfeited"] > 0) is (plain["outcome"] == "ABORT")


def test_lines_are_counted_as_often_as_they_run(loops: Path) -> None:
    found = {line["line"]: line for line in tools.gas([loops], "work", args=[9])["lines"]}
    texts = LOOPS.split("\n")
    counts = {texts[line - 1].strip(): entry["count"] for line, entry in found.items()}
    assert counts["def work(n: int) -> int:"] == 1
    assert counts["total = 0"] == 1
    assert counts["for i in range(n):"] == 10
    assert counts["if i % 2 == 0:"] == 9
    assert counts["total += square("] == 5
    assert counts["total -= 1"] == 4
    assert counts["return k * k"] == counts["def square(k: int) -> int:"] == 5
    assert counts["names = [str(i) for i in range(n) if i > 2]"] == 1
    dearest = max(found.values(), key=lambda line: line["gas"])
    assert dearest["source"].strip().startswith("log[")
    assert found[dearest["line"]]["share"] > 30


def test_a_call_between_contracts_is_profiled_in_both(loops: Path, tmp_path: Path) -> None:
    caller = tmp_path / "caller.py"
    caller.write_text('@export\ndef go(n: int) -> int:\n    """Call."""\n    return call("loops", "work", n)\n')
    found = tools.gas([caller, loops], "go", args=[4])
    assert found["outcome"] == "OK"
    assert {line["contract"] for line in found["lines"]} == {"caller", "loops"}
    assert sum(line["gas"] for line in found["lines"]) + found["outside"] == found["gas_used"]


def test_it_costs_what_the_shipped_contracts_cost(tmp_path: Path) -> None:
    """A real contract, all of it compiled for profiling: no statement costs more than the charge it stands in."""
    for path in sorted((Path(__file__).resolve().parents[3] / "contracts").glob("*.py")):
        found = tools.gas([path], "no_such_method")
        assert found["code"] == "vm.no-method", path
