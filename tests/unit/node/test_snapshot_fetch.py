"""Fetching a snapshot: whatever peers do, only what the certificate vouches for stays, and the liar is named."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from carbonnode.chain.batch import Batch
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.header import Header
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.errors import DiskFull, InvalidBlock, RemoteError
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.ledger.snapshot import Chunk, Manifest, SnapshotProof
from carbonnode.ledger.snapshot_build import build_state
from carbonnode.node.snapshot_machine import MAX_FAILURES
from carbonnode.node.wire import FetchBlocks, FetchChunk, Raws, RequestKind, SnapshotOffer, SnapshotOffers, SyncBlock, decode_payload
from tests.unit.node.snapshot_kit import Fetching, Peer, Server

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server"))
    yield made
    made.close()


async def test_several_peers_give_one_state_that_goes_on_like_theirs(server: Server, tmp_path: Path) -> None:
    chain = server.chain
    fetching = Fetching(tmp_path, chain.genesis, {"one": server.answer, "two": server.answer, "three": server.answer})
    found = await fetching.fetcher.fetch(0)
    assert found is not None
    fetched, snapshot = found
    assert snapshot.header.height == server.height
    assert set(fetching.fetcher.sources) == {"one", "two", "three"}
    assert sum(fetching.fetcher.sources.values()) == len(snapshot.manifest.chunks) > 16
    assert fetching.blamed == []
    kv = MemoryKV()
    build_state(kv, snapshot, fetched.read, fetched.joined_ids())
    ledger = BlockExecutor(kv, chain.genesis)
    status = ledger.status()
    assert (status.height, status.header_hash) == (server.height, chain.blocks.header_hash(server.height))
    assert status.oldest_queryable == server.height
    # An id that ran before the snapshot runs no second time, and the next header is the one that everybody has.
    old, new = chain.finals[3].transactions[0], chain.note()
    batch = Batch(2_000_000, (old.wire_hash, new.wire_hash))
    here = ledger.execute(server.height + 1, batch, [old.raw, new.raw])
    there = chain.executor.ledger.execute(server.height + 1, batch, [old.raw, new.raw])
    chain.executor.ledger.discard_above(server.height)
    assert here == there
    assert here.kept == (1,)
    assert ledger.finalise(server.height + 1) >= server.height


async def silent(_kind: int, _payload: bytes) -> bytes:
    raise RemoteError("silent", code="timeout")


async def gone(_kind: int, _payload: bytes) -> bytes:
    raise RemoteError("gone", code="closed")


def bent(server: Server, kind: int, bend: Callable[[bytes], bytes]) -> Peer:
    """An honest peer but for its answers of one kind."""

    async def answer(asked: int, payload: bytes) -> bytes:
        found = await server.answer(asked, payload)
        return bend(found) if asked == kind else found

    return answer


def other_root(raw: bytes) -> bytes:
    """A manifest that nobody certified."""
    proof = decode(raw, SnapshotProof)
    manifest = decode(proof.manifest, Manifest)
    return encode(SnapshotProof(encode(Manifest(1, manifest.header, manifest.chunks[1:])), proof.certificate, ()))


def weak(raw: bytes) -> bytes:
    proof = decode(raw, SnapshotProof)
    cert = proof.certificate
    return encode(SnapshotProof(proof.manifest, type(cert)(cert.epoch, cert.height, cert.header_hash, cert.votes[:2]), ()))


def changed_leaf(raw: bytes) -> bytes:
    (key, record), *others = decode(raw, Chunk).leaves
    return encode(Chunk(((key, record + b"x"), *others)))


def without_transactions(raw: bytes) -> bytes:
    blocks = [decode(item, SyncBlock) for item in decode(raw, Raws).items]
    return encode(Raws(tuple(encode(SyncBlock(block.header, block.batch, (), block.certificate)) for block in blocks)))


def other_chain(raw: bytes) -> bytes:
    blocks = [decode(item, SyncBlock) for item in decode(raw, Raws).items]
    return encode(Raws(tuple(encode(SyncBlock(forged(block.header), block.batch, block.transactions, block.certificate)) for block in blocks)))


def forged(raw: bytes) -> bytes:
    header = decode(raw, Header)
    return encode(msgspec.structs.replace(header, time_ms=header.time_ms + 1))


LIES: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "offers that are none": (RequestKind.SNAPSHOTS, lambda _: b"junk"),
    "another manifest than offered": (RequestKind.SNAPSHOT_PROOF, other_root),
    "a manifest without a quorum": (RequestKind.SNAPSHOT_PROOF, weak),
    "a manifest that is none": (RequestKind.SNAPSHOT_PROOF, lambda _: b"\xc0"),
    "an endless manifest": (RequestKind.SNAPSHOT_PROOF, lambda _: bytes(32 * 1024 * 1024)),
    "a changed leaf": (RequestKind.SNAPSHOT_CHUNK, changed_leaf),
    "an oversized chunk": (RequestKind.SNAPSHOT_CHUNK, lambda _: bytes(9 * 1024 * 1024)),
    "a chunk that is none": (RequestKind.SNAPSHOT_CHUNK, lambda _: b"junk"),
    "blocks without their transactions": (RequestKind.BLOCKS, without_transactions),
    "blocks of another chain": (RequestKind.BLOCKS, other_chain),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_liar_is_blamed_and_the_others_give_the_state(server: Server, tmp_path: Path, lie: str) -> None:
    fetching = Fetching(tmp_path, server.chain.genesis, {"liar": bent(server, *LIES[lie]), "honest": server.answer})
    found = await fetching.fetcher.fetch(0)
    assert found is not None
    fetched, snapshot = found
    assert fetching.blamed == ["liar"]
    assert fetched.missing(snapshot) == []
    assert len(fetched.joined_ids()) == server.height


@pytest.mark.parametrize("lie", LIES)
async def test_a_liar_alone_brings_nothing(server: Server, tmp_path: Path, lie: str) -> None:
    fetching = Fetching(tmp_path, server.chain.genesis, {"liar": bent(server, *LIES[lie])})
    assert await fetching.fetcher.fetch(0) is None
    assert fetching.blamed == ["liar"]


async def test_the_silent_and_the_gone_hold_nobody_up_and_are_not_blamed(server: Server, tmp_path: Path) -> None:
    async def offers_only(kind: int, payload: bytes) -> bytes:
        return await server.answer(kind, payload) if kind == RequestKind.SNAPSHOTS else await silent(kind, payload)

    async def forgets(kind: int, payload: bytes) -> bytes:
        return await server.answer(kind, payload) if kind == RequestKind.SNAPSHOTS else b""

    peers: dict[str, Peer] = {"silent": silent, "gone": gone, "offers only": offers_only, "forgets": bent(server, RequestKind.SNAPSHOT_CHUNK, lambda _: b"")}
    fetching = Fetching(tmp_path, server.chain.genesis, {**peers, "honest": server.answer})
    assert await fetching.fetcher.fetch(0) is not None
    assert fetching.blamed == []
    assert sum(1 for peer, kind in fetching.asked if peer == "offers only") <= 2
    assert sum(1 for peer, kind in fetching.asked if peer == "forgets" and kind == RequestKind.SNAPSHOT_CHUNK) <= 2
    alone = Fetching(tmp_path / "alone", server.chain.genesis, peers)
    assert await alone.fetcher.fetch(0) is None


async def test_who_is_silent_about_chunks_is_asked_for_a_few_only(server: Server, tmp_path: Path) -> None:
    async def mute(kind: int, payload: bytes) -> bytes:
        return await silent(kind, payload) if kind == RequestKind.SNAPSHOT_CHUNK else await server.answer(kind, payload)

    fetching = Fetching(tmp_path, server.chain.genesis, {"mute": mute, "honest": server.answer})
    assert await fetching.fetcher.fetch(0) is not None
    assert 0 < sum(1 for peer, kind in fetching.asked if peer == "mute" and kind == RequestKind.SNAPSHOT_CHUNK) <= 2 * MAX_FAILURES
    assert fetching.blamed == []


async def test_one_that_many_have_goes_before_a_newer_one_of_a_single_peer(server: Server, tmp_path: Path) -> None:
    newer = encode(SnapshotOffers((SnapshotOffer(server.height + 5, b"d" * 32),)))
    peers: dict[str, Peer] = {"alone": bent(server, RequestKind.SNAPSHOTS, lambda _: newer), "one": server.answer, "two": server.answer}
    fetching = Fetching(tmp_path, server.chain.genesis, peers)
    assert await fetching.fetcher.fetch(0) is not None
    assert ("alone", RequestKind.SNAPSHOT_PROOF) not in fetching.asked


async def test_a_disk_without_room_ends_the_fetch_and_keeps_what_is_there(server: Server, tmp_path: Path) -> None:
    fetching = Fetching(tmp_path, server.chain.genesis, {"one": server.answer, "two": server.answer})
    fetching.free = 0
    with pytest.raises(DiskFull):
        await fetching.fetcher.fetch(0)
    assert fetching.blamed == []
    fetching.free = 1 << 40
    assert await fetching.fetcher.fetch(0) is not None


async def test_a_claim_of_a_height_that_nobody_has_costs_nothing_but_a_question(server: Server, tmp_path: Path) -> None:
    boast = encode(SnapshotOffers((SnapshotOffer(10**9, b"d" * 32),)))
    fetching = Fetching(tmp_path, server.chain.genesis, {"boaster": bent(server, RequestKind.SNAPSHOTS, lambda _: boast), "honest": server.answer})
    found = await fetching.fetcher.fetch(0)
    assert found is not None
    assert found[1].header.height == server.height
    assert await fetching.fetcher.fetch(server.height) is None


async def test_what_lies_on_disk_is_not_fetched_again_unless_it_is_torn(server: Server, tmp_path: Path) -> None:
    fetching = Fetching(tmp_path, server.chain.genesis, {"one": server.answer})
    found = await fetching.fetcher.fetch(0)
    assert found is not None
    fetched, snapshot = found
    chunks = snapshot.manifest.chunks
    (fetched.path / chunks[0].name).unlink()
    torn = fetched.path / chunks[1].name
    torn.write_bytes(torn.read_bytes()[:-3])
    (fetched.path / chunks[2].name).replace(fetched.path / chunks[3].name)
    again = await fetching.fetcher.fetch(0)
    assert again is not None
    assert fetching.fetcher.resumed == len(chunks) - 4
    assert sum(fetching.fetcher.sources.values()) == 4
    assert again[0].missing(snapshot) == []


async def test_short_answers_are_followed_up(server: Server, tmp_path: Path) -> None:
    """A peer whose answers hold few blocks is asked for few: the ids come in all the same, from the top down."""

    async def few(kind: int, payload: bytes) -> bytes:
        if kind != RequestKind.BLOCKS:
            return await server.answer(kind, payload)
        wanted = decode_payload(payload, FetchBlocks)
        return await server.answer(kind, encode(FetchBlocks(wanted.first, min(wanted.count, 9), wanted.max_bytes)))

    fetching = Fetching(tmp_path, server.chain.genesis, {"few": few})
    found = await fetching.fetcher.fetch(0)
    assert found is not None
    heights = sorted(height for height, _ in found[0].joined_ids())
    assert heights == list(range(1, server.height + 1))


async def test_a_chunk_that_went_bad_on_disk_builds_no_state(server: Server, tmp_path: Path) -> None:
    fetching = Fetching(tmp_path, server.chain.genesis, {"one": server.answer})
    found = await fetching.fetcher.fetch(0)
    assert found is not None
    fetched, snapshot = found
    name = snapshot.manifest.chunks[5].name
    data = bytearray((fetched.path / name).read_bytes())
    data[-1] ^= 1
    (fetched.path / name).write_bytes(data)
    with pytest.raises(InvalidBlock):
        build_state(MemoryKV(), snapshot, fetched.read, fetched.joined_ids())


async def test_a_keeper_answers_only_for_what_it_has(server: Server) -> None:
    (offer,) = server.keeper.offers().offers
    good = FetchChunk(offer.height, offer.digest, 0)
    assert server.keeper.chunk(good)
    assert server.keeper.proof(good)
    for wrong in (FetchChunk(offer.height + 1, offer.digest, 0), FetchChunk(offer.height, b"x" * 32, 0)):
        assert server.keeper.proof(wrong) == server.keeper.chunk(wrong) == b""
    for index in (-1, 10**6):
        assert server.keeper.chunk(FetchChunk(offer.height, offer.digest, index)) == b""
