from pathlib import Path

import pytest

from carbonnode.cli.main import run as carbonnode
from carbonnode.errors import ConfigError
from carbonnode.local import contract_tools as tools
from carbonnode.local.contract_new import write

COUNTER = '''"""A counter."""

total = Var(int)
log = Map(str, tuple)


@init
def setup(start: int) -> None:
    """Start at a number."""
    total.set(start)


@export
def add(n: int) -> int:
    """Add and return the total."""
    require(n > 0, "COUNTER-POSITIVE")
    total.set(total.get() + n)
    log["last"] = (n, ctx.sender)
    emit("Added", n=n)
    return total.get()


@export
def spin() -> int:
    """Never ends."""
    while True:
        pass
    return 0


@view
def read() -> int:
    """The total."""
    return total.get()
'''
CALLER = '''"""Calls the counter."""


@export
def twice(n: int) -> int:
    """Add two times."""
    call("counter", "add", n)
    return call("counter", "add", n)
'''


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    path = tmp_path / "counter.py"
    path.write_text(COUNTER)
    return path


def test_ok(counter: Path) -> None:
    found = tools.run([counter], "add", args=[5], init_args=[10])
    assert (found["outcome"], found["value"], found["code"], found["writes"]) == ("OK", 15, "", 2)
    assert found["gas_used"] > 0
    assert found["elapsed_ms"] >= 0
    assert found["events"] == [{"contract": "counter", "name": "Added", "fields": {"n": 5}}]
    assert {change["storage"] for change in found["changes"]} == {"total", "log"}


def test_refusal_leaves_nothing(counter: Path) -> None:
    found = tools.run([counter], "add", args=[0], init_args=[10])
    assert (found["outcome"], found["code"], found["writes"], found["events"]) == ("ABORT", "COUNTER-POSITIVE", 0, [])


def test_out_of_gas(counter: Path) -> None:
    found = tools.run([counter], "spin", init_args=[0], gas=20_000)
    assert (found["outcome"], found["gas_used"]) == ("OUT_OF_GAS", 20_000)


def test_view(counter: Path) -> None:
    assert tools.run([counter], "read", init_args=[3])["value"] == 3


def test_missing_method_and_bad_arguments(counter: Path) -> None:
    assert tools.run([counter], "nothing", init_args=[0])["code"] == "vm.no-method"
    assert tools.run([counter], "nothing", init_args=[0])["outcome"] == "ABORT"
    assert tools.run([counter], "add", args=["x"], init_args=[0])["outcome"] == "ABORT"
    assert tools.run([counter], "add", args=[], init_args=[0])["outcome"] == "ABORT"
    assert tools.run([counter], "add", args=[1])["outcome"] == "ABORT"


def test_refused_source(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import os\n")
    found = tools.run([path], "go")
    assert found["outcome"] == "REJECT"
    assert found["errors"][0]["line"] == 1
    report = tools.check(path)
    assert not report["ok"]
    assert set(report["errors"][0]) == {"line", "column", "rule", "message"}
    assert found["code"] == report["errors"][0]["rule"]


def test_check_ok(counter: Path) -> None:
    assert tools.check(counter) == {"ok": True, "errors": []}


def test_several_files(counter: Path, tmp_path: Path) -> None:
    caller = tmp_path / "caller.py"
    caller.write_text(CALLER)
    plain = tmp_path / "plain" / "counter.py"
    plain.parent.mkdir()
    plain.write_text(COUNTER.replace("@init\ndef setup(start: int)", "@init\ndef setup()").replace("total.set(start)", "total.set(0)"))
    assert tools.run([caller, plain], "twice", args=[4])["value"] == 8
    assert tools.run([caller, plain], "counter.add", args=[4])["value"] == 4


def test_sender(tmp_path: Path) -> None:
    path = tmp_path / "who.py"
    path.write_text('@export\ndef who() -> bytes:\n    """The sender."""\n    return ctx.sender\n')
    assert tools.run([path], "who", sender="ab" * 32)["value"] == {"hex": "ab" * 32}
    alice, bob = (tools.run([path], "who", sender=name)["value"] for name in ("alice", "bob"))
    assert alice != bob
    assert len(alice["hex"]) == 64


def test_inputs_are_named(counter: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        tools.check(counter.parent / "absent.py")
    with pytest.raises(ConfigError, match="--args"):
        tools.run([counter], "add", args=[1.5], init_args=[0])
    with pytest.raises(ConfigError, match="--sender"):
        tools.run([counter], "add", args=[1], init_args=[0], sender="\udcff")
    with pytest.raises(ConfigError, match="at least one contract file"):
        tools.run([], "add")


def test_same_run_same_result(counter: Path) -> None:
    one, two = (tools.run([counter], "add", args=[5], init_args=[10]) for _ in range(2))
    del one["elapsed_ms"], two["elapsed_ms"]
    assert one == two


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("[" * 5000 + "]" * 5000, "nested too deep"),
        ("[" * 400 + "]" * 400, "nested too deep"),
        ('[{"hex": 5}]', "is no contract value"),
        ('[{"hex": "zz"}]', "two digits of 0-9 and a-f"),
        ('[{"int": 5}]', "is no contract value"),
        ('[{"int": "five"}]', "decimal digits"),
        ('[{"int": "' + "9" * 5000 + '"}]', "decimal digits"),
        ("[1", "no JSON list"),
        ("", "no JSON list"),
        ("{}", "no JSON list"),
        ("[1.5]", "is no contract value"),
        ('[{"text": "a"}]', "is no contract value"),
        ('["\\ud800"]', "no JSON list"),
    ],
)
def test_arguments_that_are_none_are_refused_by_name(args: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.py"
    path.write_text("@export\ndef go() -> int:\n    return 1\n")
    for verb in ("run", "gas"):
        assert carbonnode(["contract", verb, str(path), "--method", "go", "--args", args]) == 1
        said = capsys.readouterr().err
        assert told in said
        assert "--args" in said


def test_a_file_without_end_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert carbonnode(["contract", "check", "/dev/zero"]) == 1
    assert "[source-size]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["class", "none", "deploy", "Pool", "1st", "a" * 41, "", "../pool", "key_of"])
def test_new_takes_names_only_whose_test_runs(name: str, tmp_path: Path) -> None:
    if name == "none":
        assert len(write(name, tmp_path)) == 2
        return
    with pytest.raises(ConfigError, match=r"choose another name|can't be a contract's name"):
        write(name, tmp_path)
    assert not list(tmp_path.iterdir())
