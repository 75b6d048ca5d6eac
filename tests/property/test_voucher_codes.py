"""Voucher codes: the contract's generator and parser against an independent one, and what the check characters catch."""

import random
import time

import pytest

from carbonnode.errors import ContractError
from carbonnode.local.vouchers import VoucherReader

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CODES = 100_000
BUDGET_S = 60.0


def mod_1271_36(text: str) -> str:
    """ISO 7064 pure system MOD 1271-36 by the standard's recursion, not by the contract's shortcuts."""
    rest = 0
    for character in text:
        rest = (rest + ALPHABET.index(character)) * 36 % 1271
    rest = rest * 36 % 1271
    check = (1272 - rest) % 1271
    return ALPHABET[check // 36] + ALPHABET[check % 36]


def random_code(rng: random.Random) -> str:
    letters, digits = ALPHABET[10:], ALPHABET[:10]
    venue = rng.choice(letters) + rng.choice(letters) + rng.choice(ALPHABET) + rng.choice(ALPHABET)
    date = f"{rng.randrange(2000, 2100):04}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
    clock = f"{rng.randrange(24):02}{rng.randrange(60):02}{rng.randrange(60):02}"
    mark = "".join(rng.choice(letters) for _ in range(3)) + rng.choice(digits) + rng.choice(digits)
    text = "1" + rng.choice("TBASRIKPFCX") + venue + date + clock + mark + f"{rng.randrange(1, 10**8):08}" + rng.choice("012")
    return text + mod_1271_36(text)


@pytest.fixture(scope="module")
def reader() -> VoucherReader:
    return VoucherReader()


def test_check_vector_of_the_standard() -> None:
    assert mod_1271_36("ISO79") == "3W"


@pytest.mark.slow
def test_round_trip_of_many_codes(reader: VoucherReader) -> None:
    rng = random.Random(20251119)
    codes = [random_code(rng) for _ in range(CODES)]
    started = time.monotonic()
    for code in codes:
        f = reader.chain.view("voucher", "parse", code)
        assert isinstance(f, tuple)
        assert f"1{f[1]}{f[2]}{f[3]}{f[4]}{f[5]}{f[6]}{f[7]:08}{f[8]}{f[9]}" == code
    assert time.monotonic() - started < BUDGET_S


def test_generator_agrees_with_the_independent_one(reader: VoucherReader) -> None:
    rng = random.Random(7)
    for _ in range(500):
        code = random_code(rng)
        made = reader.chain.view("voucher", "make", code[1], code[2:6], code[6:14], code[14:20], code[20:25], int(code[25:33]), int(code[33]))
        assert made == code


def test_every_substitution_and_swap_is_caught(reader: VoucherReader) -> None:
    rng = random.Random(11)
    for code in (random_code(rng), "1TCNSH20251119143207CEA24000004120OH"):
        for place in range(36):
            for character in ALPHABET:
                if character != code[place]:
                    assert not reader.check(code[:place] + character + code[place + 1 :])["ok"]
        for place in range(35):
            swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
            assert swapped == code or not reader.check(swapped)["ok"]


def test_check_characters_catch_errors_in_a_thousand_codes() -> None:
    """By the independent implementation: whole code = 1 modulo 1271, which no single substitution or adjacent swap keeps."""
    rng = random.Random(13)

    def value(text: str) -> int:
        return int(text, 36) % 1271

    for _ in range(1_000):
        code = random_code(rng)
        assert value(code) == 1
        place = rng.randrange(36)
        assert all(value(code[:place] + c + code[place + 1 :]) != 1 for c in ALPHABET if c != code[place])
        assert all(value(code[:i] + code[i + 1] + code[i] + code[i + 2 :]) != 1 for i in range(35) if code[i] != code[i + 1])


@pytest.mark.parametrize("text", ["", "-", "1T", "\u0661" * 36, "A" * 4000, "1T CNSH", "1TCNSH20251119143207CEA24000004120OH\n1"])
def test_garbage_is_refused(reader: VoucherReader, text: str) -> None:
    with pytest.raises(ContractError):
        reader.parse(text)
