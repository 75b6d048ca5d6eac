"""A user node believes nothing: each way of tampering with what it is sent is refused by name."""

from collections.abc import Callable
from dataclasses import replace as replace_dataclass

import msgspec
import pytest

from carbonnode.chain.codec import decode
from carbonnode.chain.header import Header
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.signing import KeySigner
from carbonnode.errors import CarbonnodeError, ConfigError, InvalidBlock, StorageError
from carbonnode.node.relay import UserBlockMaker
from carbonnode.node.user_store import UserStore
from carbonnode.node.user_verify import Trail, verify_user_block
from carbonnode.node.wire import OwnEvent, UserBlock
from tests.unit.node.chain_kit import Chain, certify

ALICE = KeySigner(b"alice".ljust(32, b"\0")).public_key
OURS = {ALICE: "ORIGIN"}


def user_block(chain: Chain, height: int, organisation: str = "ORIGIN") -> UserBlock:
    if height == 0:
        return UserBlockMaker(chain.blocks.block(0), chain.zero, (), ()).for_organisation(organisation, OURS)
    final = chain.finals[height - 1]
    return UserBlockMaker(final.stored, final.outcome, final.transactions, ()).for_organisation(organisation, OURS)


def start(chain: Chain, organisation: str = "ORIGIN") -> Trail:
    genesis = chain.genesis
    return Trail(genesis.chain_id, organisation, "pbft", -1, b"", genesis.validators, {})


@pytest.fixture
def chain() -> Chain:
    chain = Chain()
    chain.grow(chain.note("ORIGIN", "one"), chain.note("OTHER", "secret"), chain.note("", "public"), chain.note("ORIGIN", "two", "bob"))
    chain.grow()
    chain.grow(chain.note("ORIGIN", "three", "bob"))
    return chain


def follow(chain: Chain, upto: int) -> Trail:
    trail = start(chain)
    for height in range(upto + 1):
        trail = verify_user_block(user_block(chain, height), trail).trail
    return trail


def test_a_whole_chain_verifies_and_holds_what_is_the_readers(chain: Chain) -> None:
    trail = follow(chain, 0)
    first = verify_user_block(user_block(chain, 1), trail)
    assert [(event.to, event.sequence) for _, event in first.events] == [("ORIGIN", 1), ("", 1), ("ORIGIN", 2)]
    assert [transaction.id for transaction, _ in first.transactions] == [tx.id for tx in chain.finals[0].transactions[:3]]
    assert follow(chain, 3).sequences == {"ORIGIN": 3, "": 1}
    assert follow(chain, 3).header_hash == chain.blocks.tip_hash


def test_another_organisation_gets_none_of_it(chain: Chain) -> None:
    block = user_block(chain, 1, "STRANGER")
    text = msgspec.msgpack.encode(block)
    assert b"secret" not in text
    assert b"one" not in text
    assert block.transactions == ()
    trail = verify_user_block(user_block(chain, 0, "STRANGER"), start(chain, "STRANGER")).trail
    assert verify_user_block(block, trail).header.height == 1


def _replace(**changes: object) -> Callable[[UserBlock, Chain], UserBlock]:
    return lambda block, _chain: msgspec.structs.replace(block, **changes)


def _drop_event(block: UserBlock, _chain: Chain) -> UserBlock:
    return msgspec.structs.replace(block, events=block.events[1:])


def _alter_event(block: UserBlock, _chain: Chain) -> UserBlock:
    first = block.events[0]
    return msgspec.structs.replace(block, events=(OwnEvent(first.index, first.salt, first.event.replace(b"one", b"won")), *block.events[1:]))


def _alter_header(block: UserBlock, _chain: Chain) -> UserBlock:
    header = decode(block.header, Header)
    return msgspec.structs.replace(block, header=msgspec.structs.replace(header, time_ms=header.time_ms + 1).encoded)


def _too_few_votes(block: UserBlock, chain: Chain) -> UserBlock:
    return msgspec.structs.replace(block, certificate=certify(chain.genesis, chain.finals[0].outcome, (0, 1)))


def _foreign_vote(block: UserBlock, chain: Chain) -> UserBlock:
    good = certify(chain.genesis, chain.finals[0].outcome)
    votes = (good.votes[0], good.votes[1], (2, good.votes[0][1]))
    return msgspec.structs.replace(block, certificate=msgspec.structs.replace(good, votes=votes))


def _swap_receipts(block: UserBlock, _chain: Chain) -> UserBlock:
    one, two, *rest = block.transactions
    swapped = (msgspec.structs.replace(one, receipt=two.receipt, receipt_salt=two.receipt_salt), two, *rest)
    return msgspec.structs.replace(block, transactions=swapped)


def _move_transaction(block: UserBlock, _chain: Chain) -> UserBlock:
    one, *rest = block.transactions
    return msgspec.structs.replace(block, transactions=(msgspec.structs.replace(one, index=3), *rest))


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (_drop_event, "gap"),
        (_alter_event, "events"),
        (_replace(events=()), ""),
        (_replace(event_leaves=()), "events"),
        (_replace(transaction_count=3), "transactions"),
        (_replace(receipt_leaves=()), "transactions"),
        (_replace(wire_hashes=()), "transactions"),
        (_replace(certificate=None), "certificate"),
        (_too_few_votes, "certificate"),
        (_foreign_vote, "certificate"),
        (_alter_header, "certificate"),
        (_swap_receipts, "receipts"),
        (_move_transaction, "transactions"),
    ],
)
def test_tampering_is_refused_by_name(chain: Chain, tamper: Callable[[UserBlock, Chain], UserBlock], code: str) -> None:
    trail = follow(chain, 0)
    block = tamper(user_block(chain, 1), chain)
    if code:
        with pytest.raises(InvalidBlock) as caught:
            verify_user_block(block, trail)
        assert caught.value.code == code
        return
    # All events of a block kept back show at the next one: its sequence leaves a gap.
    trail = verify_user_block(block, trail).trail
    trail = verify_user_block(user_block(chain, 2), trail).trail
    with pytest.raises(InvalidBlock, match="kept back"):
        verify_user_block(user_block(chain, 3), trail)


def test_another_readers_event_and_a_skipped_block_are_refused(chain: Chain) -> None:
    trail = follow(chain, 0)
    with pytest.raises(InvalidBlock, match="not for STRANGER"):
        verify_user_block(user_block(chain, 1), replace_dataclass(trail, organisation="STRANGER"))
    with pytest.raises(InvalidBlock, match="doesn't follow"):
        verify_user_block(user_block(chain, 2), trail)
    with pytest.raises(InvalidBlock, match="doesn't follow"):
        verify_user_block(user_block(chain, 1), replace_dataclass(trail, chain_id=b"x" * 32))


def test_the_store_keeps_position_and_own_transactions_over_a_restart(chain: Chain) -> None:
    kv = MemoryKV()
    store = UserStore(kv, chain.genesis, "ORIGIN")
    pending = chain.finals[0].transactions[0]
    store.remember(pending.id, pending.raw)
    stranger = chain.note("", "x", "carol")
    store.remember(stranger.id, stranger.raw)
    for height in range(4):
        store.put(verify_user_block(user_block(chain, height), store.trail))
    again = UserStore(kv, chain.genesis, "ORIGIN")
    assert (again.height, again.trail.header_hash, again.trail.sequences) == (3, store.trail.header_hash, store.trail.sequences)
    assert again.trail.validators.hash == store.trail.validators.hash
    place = again.place(pending.id)
    assert place is not None
    assert again.block(place.height).transactions[place.index].raw == pending.raw
    assert [tx_id for tx_id, _ in again.pending()] == [stranger.id]
    again.settle(stranger.id, b"proof")
    assert again.proof(stranger.id) == b"proof"
    assert not again.is_pending(stranger.id)
    with pytest.raises(ConfigError, match="belongs to organisation ORIGIN"):
        UserStore(kv, chain.genesis, "OTHER")


def test_a_damaged_store_says_so(chain: Chain) -> None:
    kv = MemoryKV()
    store = UserStore(kv, chain.genesis, "ORIGIN")
    for height in range(3):
        store.put(verify_user_block(user_block(chain, height), store.trail))
    raw = kv.get(b"m/trail")
    assert raw is not None
    kv.write([(b"m/trail", raw[:-1])])
    with pytest.raises(StorageError, match="damaged"):
        UserStore(kv, chain.genesis, "ORIGIN")
    kv.write([(b"m/trail", raw)], [b"u/" + (2).to_bytes(8, "big")])
    with pytest.raises(CarbonnodeError, match="no block 2"):
        UserStore(kv, chain.genesis, "ORIGIN")
