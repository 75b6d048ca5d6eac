"""Words for refusals: each belongs to a code that contracts or the VM can give, and names commands that are there."""

import re

import pytest

from carbonnode import resources
from carbonnode.cli.hints import WORDS, meaning
from carbonnode.ledger.block_run import TOO_MUCH_OUTPUT
from carbonnode.local.ruleset import CONTRACTS
from carbonnode.vm import codes


def test_words_belong_to_codes_that_exist() -> None:
    sources = "".join(resources.contract_source(name) for name in CONTRACTS)
    known = set(re.findall(r'"([A-Z]+(?:-[A-Z0-9]+)+)"', sources)) | {value for value in vars(codes).values() if isinstance(value, str)} | {TOO_MUCH_OUTPUT}
    assert set(WORDS) - known == set()


@pytest.mark.parametrize(("code", "words"), sorted(WORDS.items()))
def test_words_name_commands_that_exist(code: str, words: str) -> None:
    from carbonnode.cli.main import run

    for command in re.findall(r"`carbonnode ([a-z -]+)", words):
        assert run([*command.split(), "--help"]) == 0, code


def test_a_code_without_words_says_where_to_look() -> None:
    assert meaning("POOL-CLOSED", "pool") == "the code names the rule that refused it: see `carbonnode contract show pool`"
    assert "--gas" in meaning("vm.out-of-gas")
