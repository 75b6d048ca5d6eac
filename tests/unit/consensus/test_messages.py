"""The wire of consensus: canonical, bounded, and every signature bound to its place (PBFT.md 3, 4, 5)."""

from typing import Any

import msgspec
import pytest

from carbonnode.consensus import messages as msg
from carbonnode.errors import PeerViolation
from tests.unit.consensus.lab import Lab


def samples(lab: Lab) -> list[msg.Message]:
    batch = lab.batch("a")
    certificate = lab.certificate(3, b"h" * 32)
    change = lab.view_change(2, 1, (lab.proof(4, batch.digest),), certificate)
    return [
        lab.pre_prepare(1, batch),
        lab.prepare(1, 1, batch.digest),
        lab.commit(1, 1, batch.digest),
        lab.checkpoint(1, 1, b"h" * 32),
        lab.suspect(1),
        change,
        lab.new_view(1, (change,), ((4, batch.digest),)),
        msg.Status(0, 1, True, 3, 5, (1, 3, 7), False),
        msg.FetchBatch(2, batch.digest),
        msg.BatchReply(2, batch.encoded),
        msg.Certified(certificate),
    ]


def test_every_kind_survives_the_wire_and_verifies(lab: Lab) -> None:
    for message in samples(lab):
        again = msg.decode_message(msg.encode_message(message))
        assert again == message
        assert msg.verify_signed(again, lab.validators, lab.chain_id, lab.ring.verify)


def test_each_kind_is_a_kind_of_its_own(lab: Lab) -> None:
    kinds = {msg.encode_message(message)[1] for message in samples(lab)}
    assert len(kinds) == len(samples(lab))


@pytest.mark.parametrize("field", ["epoch", "view", "height", "digest", "header_hash", "batch", "prepared", "stable", "proposals", "signer"])
def test_a_signature_holds_for_one_place_only(lab: Lab, field: str) -> None:
    checked = 0
    for message in samples(lab):
        if not isinstance(message, msg.SIGNED_TYPES) or field not in message.__struct_fields__:
            continue
        value = getattr(message, field)
        other: Any = value + 1 if isinstance(value, int) else b"x" * 32 if isinstance(value, bytes) else None if field == "stable" else ()
        moved = msgspec.structs.replace(message, **{field: other})
        assert not msg.verify_signed(moved, lab.validators, lab.chain_id, lab.ring.verify), type(message)
        checked += 1
    assert checked


def test_a_signature_of_another_chain_or_kind_doesnt_hold(lab: Lab) -> None:
    for message in samples(lab):
        if isinstance(message, msg.SIGNED_TYPES):
            assert not msg.verify_signed(message, lab.validators, b"d" * 32, lab.ring.verify)
    prepare = lab.prepare(1, 1, b"d" * 32)
    commit = msg.Commit(*(getattr(prepare, f) for f in prepare.__struct_fields__))
    assert not msg.verify_signed(commit, lab.validators, lab.chain_id, lab.ring.verify)


def test_a_stranger_has_no_signature(lab: Lab) -> None:
    stranger = lab.prepare(4, 1, b"d" * 32)
    assert not msg.verify_signed(stranger, lab.validators, lab.chain_id, lab.ring.verify)


def test_a_pre_prepare_names_no_digest_that_could_lie(lab: Lab) -> None:
    message = lab.pre_prepare(1, lab.batch("a"))
    other = msgspec.structs.replace(message, batch=lab.batch("b").encoded)
    assert not msg.verify_signed(other, lab.validators, lab.chain_id, lab.ring.verify)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x80",
        b"\x97\x02\x01\x02\x03",
        b"\x97\x63\x00\x00\x01\xc4\x00\x00\xc4\x00",
        b"\xdc\x00\x03\x0a\x00\xc4\x00",
        b"\x94\x0a\x00\xc4\x00\x00",
        b"\x93\x0a\xff\xc4\x00",
        b"\x93\x0a\xcc\x01\xc4\x00",
        b"\x93\x09\x01\xc4\x03abc",
    ],
)
def test_what_isnt_a_canonical_message_is_refused(data: bytes) -> None:
    with pytest.raises(PeerViolation) as caught:
        msg.decode_message(data)
    assert caught.value.code == "bad-message"


def test_size_is_bounded_before_reading(lab: Lab) -> None:
    data = msg.encode_message(lab.pre_prepare(1, lab.batch("a")))
    with pytest.raises(PeerViolation, match="unread"):
        msg.decode_message(data, max_bytes=len(data) - 1)


@pytest.mark.parametrize(
    "change",
    [
        {"view": -1},
        {"epoch": -1},
        {"signer": -1},
        {"height": 0},
        {"digest": b"short"},
        {"signature": b"short"},
    ],
)
def test_fields_out_of_range_are_refused(lab: Lab, change: dict[str, Any]) -> None:
    bad = msgspec.structs.replace(lab.prepare(1, 1, b"d" * 32), **change)
    with pytest.raises(PeerViolation):
        msg.decode_message(msg.encode_message(bad))


def test_nested_fields_out_of_range_are_refused(lab: Lab) -> None:
    proof = msgspec.structs.replace(lab.proof(4, b"d" * 32), digest=b"short")
    change = lab.view_change(2, 1, (proof,))
    stable = msgspec.structs.replace(lab.certificate(3, b"h" * 32), header_hash=b"short")
    bad: list[msg.Message] = [
        change,
        lab.new_view(1, (change,), ()),
        lab.new_view(1, (), ((0, b"d" * 32),)),
        lab.view_change(2, 1, (), stable),
        msg.Certified(stable),
        msg.Status(0, 0, True, -1, 0, (), False),
        msg.Status(0, 0, True, 0, 0, (8,), False),
        msg.FetchBatch(-1, b"d" * 32),
        msg.BatchReply(-1, b""),
        msgspec.structs.replace(lab.checkpoint(1, 1, b"h" * 32), height=0),
        msgspec.structs.replace(lab.pre_prepare(1, lab.batch("a")), height=0),
    ]
    for message in bad:
        with pytest.raises(PeerViolation):
            msg.decode_message(msg.encode_message(message))
