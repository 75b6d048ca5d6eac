"""The back end of `carbonnode contract new`: a small contract that works, and a test of it, to start from."""

import keyword
from pathlib import Path
from typing import Final

from carbonnode.errors import ConfigError
from carbonnode.vm.contract import is_contract_name

_TAKEN: Final = frozenset({"deploy", "local_chain", "request", "pytest", "key_of"})
"""Names that the test's own names would hide."""
_CONTRACT: Final = '''"""{title}: who holds how much. Start from here; the dialect is taught in docs/contracts.md."""

MAX_AMOUNT = 10 ** 12

balances = Map(bytes, int)
total = Var(int)


@init
def setup(owner: bytes, amount: int):
    require(0 <= amount and amount <= MAX_AMOUNT, "{name}.amount")
    balances[owner] = amount
    total.set(amount)


@export
def transfer(target: bytes, amount: int) -> int:
    """Give to another key. Returns what the sender has left."""
    require(0 < amount and amount <= MAX_AMOUNT, "{name}.amount")
    left = balances.get(ctx.sender, 0) - amount
    require(left >= 0, "{name}.funds")
    balances[ctx.sender] = left
    balances[target] = balances.get(target, 0) + amount
    return left


@view
def balance(owner: bytes) -> int:
    """What a key holds."""
    return balances.get(owner, 0)
'''
_TEST: Final = '''"""Tests of {name}.py: carbonnode contract test test_{name}.py"""

import pytest
from carbonnode.local.testing import Deployed, key_of

ANN, BOB = key_of("ann"), key_of("bob")


@pytest.fixture
def {name}(deploy) -> Deployed:
    return deploy("{name}.py", ANN, 500)


def test_a_transfer_moves_and_keeps_the_sum({name}: Deployed) -> None:
    {name}.by("ann").expect("transfer", BOB, 20, value=480)
    assert {name}.view("balance", BOB) == 20
    assert {name}.view("balance", ANN) == 480


def test_nobody_gives_what_he_does_not_have({name}: Deployed) -> None:
    {name}.by("bob").expect("transfer", ANN, 1, code="{name}.funds")
    {name}.by("ann").expect("transfer", BOB, -1, code="{name}.amount")
    assert {name}.view("balance", ANN) == 500
'''


def write(name: str, directory: Path) -> list[Path]:
    """The files written. Raises `ConfigError` for a name no contract can have, and for files that exist."""
    if keyword.iskeyword(name) or name in _TAKEN:
        raise ConfigError(f"{name!r} is a word of Python or of the tests: choose another name")
    if not is_contract_name(name) or len(name) > 40:
        raise ConfigError(f"{name!r} can't be a contract's name: use a-z, 0-9 and _, a letter first, at most 40 of them")
    files = {directory / f"{name}.py": _CONTRACT, directory / f"test_{name}.py": _TEST}
    for path in files:
        if path.exists():
            raise ConfigError(f"{path} is there already: choose another name or --dir")
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text.format(name=name, title=name.replace("_", " ").capitalize()))
    return list(files)
