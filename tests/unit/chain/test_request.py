"""Signed requests: what is signed binds chain, key, time and question, and no kind of it can be read as another."""

from typing import Any

import pytest

from carbonnode.chain.request import hello_bytes, read_bytes, sign_request, verify_request, view_bytes
from carbonnode.chain.signing import KeySigner

SIGNER = KeySigner(b"\x01" * 32)
CHAIN, KEY = b"\x02" * 32, SIGNER.public_key
ASKED: dict[str, Any] = {"chain_id": CHAIN, "sender": KEY, "time_ms": 5, "contract": "cash", "view": "balance", "args": ("A", 1), "height": None}


def test_a_signature_holds_for_its_message_only() -> None:
    message = view_bytes(**ASKED)
    credentials = sign_request(SIGNER, message, 5)
    assert (credentials.sender, credentials.time_ms) == (KEY, 5)
    assert verify_request(credentials, message)
    assert not verify_request(credentials, view_bytes(**ASKED | {"time_ms": 6}))


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": b"\x03" * 32},
        {"sender": b"\x03" * 32},
        {"time_ms": 6},
        {"contract": "cas", "view": "hbalance"},
        {"view": "totals"},
        {"args": ("A", 2)},
        {"args": ("A",)},
        {"args": (("A", 1),)},
        {"height": 0},
        {"height": 5},
    ],
)
def test_every_part_of_a_view_request_is_bound(change: dict[str, Any]) -> None:
    assert view_bytes(**ASKED | change) != view_bytes(**ASKED)


def test_arguments_may_nest_as_deep_as_contracts_take_them() -> None:
    assert view_bytes(**ASKED | {"args": ((1, (2, b"x")),)}) != view_bytes(**ASKED | {"args": ((1, (2, b"y")),)})


def test_the_kinds_of_requests_are_told_apart() -> None:
    ids = [b"\x04" * 32, b"\x05" * 32]
    assert read_bytes(CHAIN, KEY, 5, ids) != read_bytes(CHAIN, KEY, 5, ids[:1])
    assert read_bytes(CHAIN, KEY, 5, ids) != read_bytes(CHAIN, KEY, 5, ids[::-1])
    assert hello_bytes(CHAIN, KEY, 5, ids[0]) != hello_bytes(CHAIN, KEY, 5, ids[1])
    kinds = {view_bytes(**ASKED)[:20], read_bytes(CHAIN, KEY, 5, ids)[:20], hello_bytes(CHAIN, KEY, 5, ids[0])[:20]}
    assert len(kinds) == 3
