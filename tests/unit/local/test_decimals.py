import pytest

from carbonnode.errors import ConfigError
from carbonnode.local.decimals import from_scaled, to_scaled


@pytest.mark.parametrize(
    ("text", "places", "expected"),
    [("0.7910", 4, 7910), ("12", 3, 12_000), (5, 0, 5), ("-1.5", 1, -15), ("1.500", 1, 15), ("0.1", 30, 10**29), ("+3", 0, 3), (" 2.5 ", 2, 250)],
)
def test_exact(text: str | int, places: int, expected: int) -> None:
    assert to_scaled(text, places, "x") == expected


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "1e5", "NaN", "0x10", "1.", ".5", "1,5", "\u0661", True, "1" * 61])
def test_no_decimal(text: str | bool) -> None:
    with pytest.raises(ConfigError, match="the field"):
        to_scaled(text, 2, "the field")


def test_too_precise() -> None:
    with pytest.raises(ConfigError, match="more than 2 decimal places"):
        to_scaled("1.234", 2, "the field")


@pytest.mark.parametrize(
    ("number", "places", "trim", "expected"),
    [(7910, 4, False, "0.7910"), (7910, 4, True, "0.791"), (-15, 1, False, "-1.5"), (0, 3, True, "0"), (12, 0, False, "12"), (5, 3, False, "0.005")],
)
def test_written(number: int, places: int, trim: bool, expected: str) -> None:
    assert from_scaled(number, places, trim=trim) == expected
