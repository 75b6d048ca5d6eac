"""Every block of code in docs/contracts.md is what it says: accepted, refused by the named rule, a test that passes, a command that runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from carbonnode.cli.main import cli, run
from carbonnode.vm.checker import check

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs" / "contracts.md").read_text("utf-8")
PYTHON_KINDS = {"python contract", "python test", "python excerpt", "python accepted", "python module", "python refused"}
KINDS = PYTHON_KINDS | {"sh", "sh network", "text gas", "text check", "diff pool.py pool_v2.py"}
STORAGE = """
orders = Map(str, int, tuple)
asks = Map(str, int, int)
balances = Map(str, int)
count = Var(int)


def take(rank: int, left: int) -> int:
    return min(rank, left)


@export
def body(total: int, members: int, item: int, book: str, left: int) -> int:
"""


class Block(NamedTuple):
    """A fenced block: what stands behind the fence, and its text."""

    head: str
    text: str

    @property
    def kind(self) -> str:
        return self.head.partition("=")[0]


BLOCKS = [Block(head, text) for head, text in re.findall(r"^```([^\n]+)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)]
COMMANDS = [line for block in BLOCKS if block.head == "sh" for line in block.text.splitlines()]
NETWORK = [line for block in BLOCKS if block.head == "sh network" for line in block.text.splitlines() if line.startswith("carbonnode ")]


def of_kind(kind: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind == kind]


def in_a_body(lines: list[str]) -> bytes:
    return (STORAGE + "".join(f"    {line}\n" for line in lines) + "    return 0\n").encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the guide's contracts and its tests."""
    for block in of_kind("python contract"):
        (tmp_path / f"{block.head.partition('=')[2]}.py").write_text(block.text)
    for block in of_kind("python test"):
        (tmp_path / f"test_{block.head.partition('=')[2]}.py").write_text(block.text)
    return tmp_path


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    assert GUIDE.count("```") == 2 * len(BLOCKS)
    assert {block.kind for block in BLOCKS} <= KINDS
    assert min(len(of_kind(kind)) for kind in KINDS - {"sh network"}) >= 1


def test_contracts_of_the_guide_are_accepted() -> None:
    for block in of_kind("python contract"):
        assert check(block.text.encode()).errors == (), block.head


@pytest.mark.parametrize("number", range(len(of_kind("python accepted"))))
def test_fragments_are_accepted(number: int) -> None:
    assert check(in_a_body(of_kind("python accepted")[number].text.splitlines())).errors == ()


def test_functions_are_accepted() -> None:
    for block in of_kind("python module"):
        assert check(in_a_body([]) + b"\n\n" + block.text.encode()).errors == ()


def refusals() -> list[tuple[str, str]]:
    lines = [line for block in of_kind("python refused") for line in block.text.splitlines() if line.strip()]
    return [(code.strip(), rule.strip()) for code, _, rule in (line.rpartition("#") for line in lines)]


@pytest.mark.parametrize(("line", "rule"), refusals())
def test_refusals_name_their_rule_and_what_to_write(line: str, rule: str) -> None:
    prefix = [] if line.startswith("share =") else ["share = 0"]
    lines = ["try:", "    share = 1", "except KeyError:", "    pass"] if line.startswith("try") else [line]
    errors = check(in_a_body(prefix + lines)).errors
    assert errors
    assert errors[0].rule == rule
    assert ":" in errors[0].message
    assert errors[0].line == STORAGE.count("\n") + 1 + len(prefix)


def test_messages_stand_in_the_guide_as_they_are() -> None:
    (block,) = of_kind("text check")
    found = check(b"@export\ndef f(a: int) -> int:\n    x = a / 2\n    return x\n").errors[0]
    (shown,) = block.text.splitlines()
    rule = f"[{found.rule}] {found.message}"
    assert shown.endswith(rule)


def test_made_blocks_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "render_guide.py"), "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_excerpts_stand_in_their_files() -> None:
    for block in of_kind("python excerpt"):
        assert block.text in (ROOT / block.head.partition("=")[2]).read_text("utf-8")


@pytest.mark.parametrize("where", ["guide", "examples"])
def test_tests_of_the_guide_pass(folder: Path, where: str) -> None:
    path = folder if where == "guide" else ROOT / "docs" / "examples"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "carbonnode", "contract", "test", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [line for line in COMMANDS if "contract test" not in line])
def test_commands_of_the_guide_run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    program, *argv = shlex.split(command)
    assert program == "carbonnode"
    assert run(argv) == 0
    assert '"outcome":"ABORT"' not in capsys.readouterr().out


@pytest.mark.parametrize("command", [*NETWORK, *(line for line in COMMANDS if "contract test" in line)])
def test_other_commands_of_the_guide_parse(command: str) -> None:
    """Those need a network (the functional tests run them), or are run above: here their words and options exist."""
    _, *words = shlex.split(command.partition(" #")[0].replace("$", ""))
    group: click.Command = cli
    context = click.Context(cli)
    while isinstance(group, click.Group):
        name = words.pop(0)
        found = group.get_command(context, name)
        assert found is not None, f"no command {name}"
        group = found
    group.make_context(group.name, words)
