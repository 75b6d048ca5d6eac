"""An audit finds every kind of lie a node could tell about its blocks and sums, and nothing where there is none."""

from typing import Any

import msgspec
import pytest

from carbonnode.chain.batch import NULL_BATCH
from carbonnode.chain.certificate import sign_checkpoint
from carbonnode.chain.codec import encode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.header import PROTOCOL_VERSION, Header
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.chain.values import Value
from carbonnode.client.audit import ChainAudit, audit_chain, audit_nodes, audit_totals
from carbonnode.client.types import BlockInfo, CertificateInfo, QueryAnswer, ValidatorInfo, VotingSetInfo
from carbonnode.errors import RemoteError
from carbonnode.local.chain import LocalRefusal
from carbonnode.local.market import LocalMarket
from carbonnode.local.ruleset import load

SIGNERS = [KeySigner(bytes([number + 1]) * 32) for number in range(8)]
MEMBERS = tuple(Validator(f"v{number}", "super", SIGNERS[number].public_key, bytes([number + 100]) * 32) for number in range(4))
GENESIS = Genesis(network="audited", time_ms=1_000, validators=MEMBERS, ca_roots=(), contracts=())
LATER = ValidatorSet((*MEMBERS[:3], Validator("v9", "super", SIGNERS[7].public_key, bytes([199]) * 32)))


def voting(members: tuple[Validator, ...] = MEMBERS) -> VotingSetInfo:
    return VotingSetInfo(0, 1, [ValidatorInfo(v.name, v.role, v.consensus_key.hex(), v.transport_key.hex()) for v in members])


def info(header: Header, signers: tuple[int, ...] = (0, 1, 2)) -> BlockInfo:
    votes = [(index, sign_checkpoint(SIGNERS[index], GENESIS.chain_id, header.epoch, header.height, header.hash).hex()) for index in signers]
    return BlockInfo(
        height=header.height, header_hash=header.hash.hex(), epoch=header.epoch, parent=header.parent.hex(), time_ms=header.time_ms,
        state_root=header.state_root.hex(), header_raw=encode(header).hex(), transactions=0, ok=0, jobs=0, events=0, size_bytes=0, gas_used=0,
        certificate=CertificateInfo(header.epoch, header.height, header.hash.hex(), votes),
    )  # fmt: skip


def chain(length: int = 6, change_at: int = 9_999) -> list[Header]:
    """Headers of heights 0 to `length` - 1; from `change_at` on another set certifies."""
    headers: list[Header] = []
    for height in range(length):
        now, following = ((LATER if at >= change_at else GENESIS.validators).hash for at in (height, height + 1))
        parent = headers[-1].hash if headers else bytes(32)
        roots = (bytes(32), bytes(32), bytes(32), bytes(32))
        hashes = (now, following, GENESIS.parameters.hash)
        headers.append(Header(PROTOCOL_VERSION, GENESIS.chain_id, 0, height, parent, NULL_BATCH.digest, 1_000 + height, *roots, *hashes, ()))
    return headers


def audited(blocks: list[BlockInfo], members: tuple[Validator, ...] = MEMBERS) -> ChainAudit:
    audit = ChainAudit(GENESIS, voting(members))
    for block in blocks:
        audit.block(block)
    return audit


def test_an_honest_chain_has_no_problem() -> None:
    audit = audited([info(header) for header in chain()])
    assert (audit.problems, audit.checked, audit.certificates) == ([], 6, 5)


def replaced(header: Header, **changes: Any) -> Header:
    return msgspec.structs.replace(header, **changes)


LIES = {
    "its header has another height or hash": lambda h: msgspec.structs.replace(info(h), header_hash="00" * 32),
    "doesn't follow the block before it": lambda h: info(replaced(h, parent=bytes(32))),
    "belongs to another chain": lambda h: info(replaced(h, chain_id=bytes(32))),
    "another validator set than the block before": lambda h: info(replaced(h, validators_hash=bytes(32))),
    "its time isn't after": lambda h: info(replaced(h, time_ms=1_000)),
    "has no certificate": lambda h: msgspec.structs.replace(info(h), certificate=None),
    "quorum": lambda h: info(h, (0, 1)),
    "its certificate names another block": lambda h: msgspec.structs.replace(info(h), certificate=info(replaced(h, time_ms=9)).certificate),
    "signature": lambda h: msgspec.structs.replace(
        info(h),
        certificate=CertificateInfo(0, h.height, h.hash.hex(), [(0, info(h).certificate.votes[1][1]), *info(h).certificate.votes[1:]]),  # type: ignore[union-attr]
    ),
}


@pytest.mark.parametrize("says", LIES)
def test_every_lie_about_a_block_is_found(says: str) -> None:
    headers = chain()
    blocks = [info(header) for header in headers]
    blocks[3] = LIES[says](headers[3])
    problems = audited(blocks).problems
    assert problems
    assert problems[0].startswith("block 3: ")
    assert says in problems[0]


def test_a_change_of_validators_is_followed_by_hash_and_verified_where_the_set_is_known() -> None:
    headers = chain(8, change_at=4)
    blocks = [info(header) for header in headers[:4]] + [info(header, (0, 1, 2)) for header in headers[4:]]
    known = audited(blocks, LATER.validators)
    assert (known.problems, known.certificates, known.unknown_sets) == ([], 7, set())
    unknown = audited(blocks)
    assert (unknown.problems, unknown.certificates, unknown.unknown_sets) == ([], 3, {LATER.hash})


class Served:
    """A client of a node with these blocks."""

    def __init__(self, headers: list[Header], url: str = "http://a") -> None:
        self.headers, self.url = headers, url

    async def status(self) -> Any:
        return msgspec.defstruct("S", ["height", "name"])(len(self.headers) - 1, self.url)

    async def validators(self) -> VotingSetInfo:
        return voting()

    async def block(self, height: int) -> BlockInfo:
        return info(self.headers[height])

    async def blocks(self, first: int, count: int = 100) -> list[BlockInfo]:
        return [info(header) for header in self.headers[first : first + count]]


@pytest.mark.asyncio
async def test_a_node_is_audited_page_by_page() -> None:
    served: Any = Served(chain(205))
    found = await audit_chain(served, GENESIS)
    assert (found["ok"], found["blocks"], found["certificates"], found["last"]) == (True, 205, 204, 204)
    missing = await audit_chain(served, GENESIS, 100, 300)
    assert missing["problems"] == ["block 205: the node doesn't have it"]
    beyond = await audit_chain(served, GENESIS, 206)
    assert (beyond["ok"], beyond["problems"]) == (False, ["block 206: the chain is at 204: nothing was audited"])


@pytest.mark.asyncio
async def test_nodes_are_compared_at_the_highest_common_height() -> None:
    one: Any = Served(chain(6))
    two: Any = Served(chain(9), "http://b")
    found = await audit_nodes([one, two])
    assert (found["ok"], found["height"]) == (True, 5)
    two.headers[5] = replaced(two.headers[5], time_ms=7)
    assert (await audit_nodes([one, two]))["ok"] is False


class MarketClient:
    """Asks a local market as a client asks a node; `wrong` changes what a view says."""

    def __init__(self, market: LocalMarket, who: str, wrong: dict[str, Value] | None = None) -> None:
        self.market, self.who, self.wrong = market, who, wrong or {}

    async def status(self) -> Any:
        return msgspec.defstruct("S", ["height"])(self.market.height)

    async def query(self, contract: str, view: str, *args: Value, height: int) -> QueryAnswer:
        try:
            value = self.wrong.get(f"{contract}.{view}", self.market.ask(self.who, contract, view, *args))
        except LocalRefusal as refusal:
            return QueryAnswer(height, "ABORT", refusal.code, None)
        return QueryAnswer(height, "OK", "", value)


@pytest.mark.asyncio
async def test_sums_of_the_market_are_added_up_and_held_against_what_is_stated() -> None:
    market = LocalMarket(load("demo-nger"))
    book = market.vintage(2024)
    for number in range(5):
        market.member(f"E{number}")
        market.fund(f"E{number}", cash_fen=1_000 + number, iv=book, units_t=10 + number)
    client: Any = MarketClient(market, "authority")
    found = await audit_totals(client, single=True, page=2)
    assert found["ok"], found
    assert {row["what"]: row["added"] for row in found["rows"]} == {
        f"{book}: issued = registry + trading + surrendered + cancelled": 60,
        f"{book}: registry holdings, one by one": 0,
        f"{book}: trading holdings, one by one": 60,
        "cash: deposited = withdrawn + held + penalties": 5_010,
        "cash: balances, one by one": 5_010,
    }
    liar: Any = MarketClient(market, "authority", {"cash.totals": (5_010, 0, 5_000, 10)})
    wrong = await audit_totals(liar, single=True)
    assert [row["what"] for row in wrong["rows"] if not row["ok"]] == ["cash: balances, one by one"]
    stranger: Any = MarketClient(market, "nobody")
    assert (await audit_totals(stranger, single=False))["ok"]
    with pytest.raises(RemoteError, match="sign as a member"):
        await audit_totals(stranger, single=True)
