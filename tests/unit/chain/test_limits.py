"""Networks whose messages might not fit into a frame are refused where they would begin."""

import json

import pytest

from carbonnode.chain.codec import MAX_BYTES
from carbonnode.chain.genesis import Genesis, Parameters, parse_genesis
from carbonnode.chain.limits import FRAME_MARGIN_BYTES, MAX_WINDOW, check_messages_fit, largest_window, new_view_bytes
from carbonnode.chain.quorum import quorum
from carbonnode.errors import ConfigError

DEFAULT = Parameters()


def fits(validators: int, window: int) -> bool:
    try:
        check_messages_fit(validators, quorum(validators), window=window, max_block_transactions=1_000, max_block_bytes=1_000_000)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("validators", [1, 4, 7, 31, 63, 64, 100, 200])
def test_the_largest_window_fits_and_the_next_doesnt(validators: int) -> None:
    largest = largest_window(quorum(validators))
    assert 0 < largest <= MAX_WINDOW
    assert fits(validators, largest)
    assert not fits(validators, largest + 1)
    assert new_view_bytes(quorum(validators), largest) <= MAX_BYTES - FRAME_MARGIN_BYTES


def test_the_default_window_is_for_63_validators() -> None:
    assert fits(63, DEFAULT.window)
    assert not fits(64, DEFAULT.window)
    assert fits(100, 12)


def test_so_many_that_no_window_fits() -> None:
    assert largest_window(quorum(1_000)) == 0
    assert not fits(1_000, 1)


@pytest.mark.parametrize(
    ("parameters", "advice"),
    [
        ({"window": 2_049}, "window to at most 2048"),
        ({"max_block_transactions": 10_001}, "max_block_transactions"),
        ({"max_block_bytes": 1 << 30}, "max_block_bytes"),
    ],
)
def test_genesis_refuses_and_says_what_to_change(genesis: Genesis, parameters: dict[str, int], advice: str) -> None:
    data = json.loads(genesis.to_json())
    data["parameters"] |= parameters
    with pytest.raises(ConfigError, match=advice):
        parse_genesis(json.dumps(data).encode())


def test_genesis_refuses_too_many_validators_for_its_window(genesis: Genesis) -> None:
    data = json.loads(genesis.to_json())
    data["validators"] = [
        {"name": f"v{number}", "role": "super", "consensus_key": f"{number:064x}", "transport_key": f"{1_000 + number:064x}"} for number in range(64)
    ]
    with pytest.raises(ConfigError, match=r"64 validators with a window of 32 blocks .* window to at most 30, or have fewer validators"):
        parse_genesis(json.dumps(data).encode())
    data["parameters"]["window"] = 30
    assert len(parse_genesis(json.dumps(data).encode()).validators) == 64
