"""Transactions: identities, canonical form and refusals."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import MAX_CALLS, Body, Call, Transaction
from carbonnode.errors import InvalidTransaction

SIGNER = KeySigner(b"s" * 32)
CHAIN = b"c" * 32


def _body(calls: tuple[Call, ...] = (Call("matching", "place", ("CEA", 6000, b"x", (1, 2))),)) -> Body:
    return Body(CHAIN, SIGNER.public_key, b"n" * 16, 100, 10**6, calls)


def test_sign_decode_verify() -> None:
    """A signed transaction decodes to the same body and its signature verifies."""
    tx = Transaction.sign(_body(), SIGNER)
    again = Transaction.decode(tx.raw)
    assert again.body == _body()
    assert again.verify_signature()
    assert (again.id, again.wire_hash) == (tx.id, tx.wire_hash)


@given(st.data())
def test_one_flipped_bit_is_refused_or_fails_to_verify(data: st.DataObject) -> None:
    """No bit of the wire form is free."""
    raw = bytearray(Transaction.sign(_body(), SIGNER).raw)
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    try:
        tx = Transaction.decode(bytes(raw))
    except InvalidTransaction:
        return
    assert not tx.verify_signature()


def test_same_body_with_another_signature_has_another_wire_hash() -> None:
    """The id names the body; the wire hash names the signed bytes, so a cached verdict can't be borrowed."""
    tx = Transaction.sign(_body(), SIGNER)
    forged = Transaction.decode(msgpack.packb([tx.body_bytes, bytes(64)]))
    assert forged.id == tx.id
    assert forged.wire_hash != tx.wire_hash
    assert not forged.verify_signature()


@pytest.mark.parametrize("count", [0, MAX_CALLS + 1])
def test_call_count_is_bounded(count: int) -> None:
    """1 to 64 calls."""
    with pytest.raises(InvalidTransaction, match="1 to 64 calls"):
        Transaction.sign(_body((Call("a", "b"),) * count), SIGNER)


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_a_typed_error(data: bytes) -> None:
    """Random bytes never decode and never raise anything else."""
    with pytest.raises(InvalidTransaction):
        Transaction.decode(data)


@pytest.mark.parametrize("change", [{0: 2}, {2: b"short"}, {3: b"short"}, {4: -1}, {5: 0}, {6: "calls"}, {7: "extra"}])
def test_wrong_fields_are_refused(change: dict[int, object]) -> None:
    """Unknown versions, wrong lengths, negative heights, zero gas, wrong types and extra elements."""
    fields = list(msgpack.unpackb(_body().encode()))
    for index, value in change.items():
        fields[index : index + 1] = [value]
    with pytest.raises(InvalidTransaction):
        Transaction.decode(msgpack.packb([msgpack.packb(fields), bytes(64)]))


def test_a_lone_surrogate_in_a_call_is_refused_at_signing() -> None:
    """Texts must have a UTF-8 form."""
    with pytest.raises(InvalidTransaction, match="surrogate"):
        Transaction.sign(_body((Call("a", "b", ("\udfff",)),)), SIGNER)
