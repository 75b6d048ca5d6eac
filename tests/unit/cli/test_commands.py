"""The command line: help with an example everywhere, one JSON document, exit statuses, no stack trace for a user's mistake."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.main import cli, run

GOOD = "1T-CNSH-20251119-143207-CEA24-00000412-0-OH"
COUNTER = """n = Var(int)

@export
def add(k: int) -> int:
    n.set(n.get(0) + k)
    return n.get(0)
"""


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands(found, (*path, name))


def _json(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, object]:
    status = run([*argv, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_every_command_has_help_with_an_example() -> None:
    """`--help` of each command names an example of its own."""
    without = []
    count = 0
    for path, _ in _commands(cli):
        result = CliRunner().invoke(cli, [*path, "--help"])
        count += 1
        assert result.exit_code == 0, path
        if "Example" not in result.output or "carbonnode" not in result.output:
            without.append(" ".join(path))
    assert count > 80
    assert without == []


def test_every_group_suggests_the_nearest_name() -> None:
    """A misspelt command gets the nearest one, and exit status 2."""
    for path, command in _commands(cli):
        if isinstance(command, click.Group):
            assert isinstance(command, SuggestingGroup), path
    result = subprocess.run([sys.executable, "-m", "carbonnode", "oder"], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert "Did you mean 'order'?" in result.stderr


def test_help_comes_at_once_and_loads_no_network_library() -> None:
    """Only the daemon loads libp2p; help costs less than 0.3 s (processor time, the best of three, for the machine may be busy)."""
    code = "import sys; from carbonnode.cli.main import run; run(['--help']); assert not {'libp2p', 'trio', 'litestar', 'rich'} & set(sys.modules), 'heavy'"
    times = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert done.returncode == 0, done.stderr
    assert min(times) < 0.3


def test_voucher_check(capsys: pytest.CaptureFixture[str]) -> None:
    """A good code exits 0, a changed one 1; both print one JSON document."""
    assert _json(capsys, "voucher", "check", GOOD) == (0, {"ok": True, "code": GOOD.replace("-", ""), "display": GOOD})
    status, document = _json(capsys, "voucher", "check", GOOD.replace("412", "413"))
    assert status == 1
    assert isinstance(document, dict)
    assert document["error"] == "VOUCHER-CHECK"
    status, document = _json(capsys, "voucher", "parse", GOOD)
    assert status == 0
    assert isinstance(document, dict)
    assert document["number"] == 412


def test_contract_check_and_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A contract file is checked and run on a fresh state; any outcome of a run exits 0."""
    file = tmp_path / "counter.py"
    file.write_text(COUNTER)
    assert _json(capsys, "contract", "check", str(file)) == (0, {"ok": True, "errors": []})
    status, document = _json(capsys, "contract", "run", str(file), "--method", "add", "--args", "[5]")
    assert status == 0
    assert isinstance(document, dict)
    assert (document["outcome"], document["value"], document["writes"]) == ("OK", 5, 1)
    status, document = _json(capsys, "contract", "run", str(file), "--method", "gone")
    assert status == 0
    assert isinstance(document, dict)
    assert document["outcome"] == "ABORT"
    file.write_text(COUNTER + "import os\n")
    status, document = _json(capsys, "contract", "check", str(file))
    assert status == 1
    assert isinstance(document, dict)
    assert document["errors"][0]["line"] == 7


def test_calc_allocation_gives_the_worked_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """15,545,800 MWh x 0.7910 -> 12,296,727 t."""
    rows = tmp_path / "units.json"
    rows.write_text(
        json.dumps([{"entity": "E", "id": "U", "class": "I", "power_mwh": "15545800", "heat_gj": "0", "load_factor": "0.7", "verified_t": 13705014}])
    )
    status, document = _json(capsys, "calc", "allocation", "--rules", "cn-national-2024", "--input", str(rows))
    assert status == 0
    assert isinstance(document, dict)
    assert document["entities"][0]["allowance_t"] == 12_296_727


def test_sim_repeats_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """The same arguments give the same digest; another seed another one."""
    first = _json(capsys, "sim", "--seed", "3", "--steps", "200")
    assert first == _json(capsys, "sim", "--seed", "3", "--steps", "200")
    assert first[0] == 0
    assert first != _json(capsys, "sim", "--seed", "4", "--steps", "200")


def test_sim_of_a_lone_replica_converges(capsys: pytest.CaptureFixture[str]) -> None:
    """One replica has no links to cut, and its seeds end well."""
    for seed in ("1", "3", "6"):
        status, document = _json(capsys, "sim", "--seed", seed, "--replicas", "1", "--byzantine", "0", "--steps", "300")
        assert status == 0
        assert isinstance(document, dict)
        assert document["converged"] is True
        assert document["violations"] == []


def test_wrong_usage_exits_2_with_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json even a wrong option gives one JSON document; without it stdout stays empty."""
    status, document = _json(capsys, "sim")
    assert status == 2
    assert document == {"error": {"code": "usage", "message": "Missing option '--seed'."}}
    assert run(["sim"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--seed" in printed.err
    status, document = _json(capsys, "audit", "chain", "--genesis", "any.json", "--first", "10", "--last", "5")
    assert (status, "nothing would be audited" in str(document)) == (2, True)


def test_contract_run_wants_each_contract_once_and_one_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files of one name, and a method of a contract that isn't given, are mistakes of the caller's; a missing method is an ABORT."""
    for directory in ("a", "b"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "counter.py").write_text(COUNTER)
    one, other = str(tmp_path / "a" / "counter.py"), str(tmp_path / "b" / "counter.py")
    for command in ("run", "gas"):
        status, document = _json(capsys, "contract", command, one, other, "--method", "add", "--args", "[1]")
        assert status == 1
        assert "both be the contract counter" in str(document)
        status, document = _json(capsys, "contract", command, one, "--method", "till.add", "--args", "[1]")
        assert status == 1
        assert "no contract 'till' among the files" in str(document)
    status, document = _json(capsys, "contract", "run", one, "--method", "subtract", "--args", "[1]")
    assert status == 0
    assert isinstance(document, dict)
    assert (document["outcome"], document["code"]) == ("ABORT", "vm.no-method")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["verify", "missing.json", "--genesis", "also-missing.json"], "also-missing.json"),
        (["contract", "check", "missing.py"], "missing.py"),
        (["calc", "penalty", "--rules", "cn-nowhere", "--input", "x.json"], "cn-nowhere"),
        (["status", "--node", "http://127.0.0.1:1"], "127.0.0.1:1"),
        (["tx", "show", "beef", "--node", "http://127.0.0.1:1"], "64 hex digits"),
    ],
)
def test_a_users_mistake_gets_a_sentence_and_exit_status_1(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the thing; no stack trace."""
    assert run(argv) == 1
    errors = capsys.readouterr().err
    assert says in errors
    assert "Traceback" not in errors


def test_roles_are_the_twelve_of_clause_4(capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve roles under four groups."""
    status, document = _json(capsys, "roles", "list")
    assert status == 0
    assert isinstance(document, dict)
    assert len(document["roles"]) == 12
    assert len({row["group"] for row in document["roles"]}) == 4
