"""What an auditor recomputes from a node's answers: the chain of blocks and its certificates, agreement between nodes, the sums of the market.

Nothing that a node says is believed where it can be checked: hashes are computed from the bytes, certificates verified against validator sets whose hash
stands in the chain itself, from genesis on.
"""

from collections.abc import Sequence
from typing import Any, Final

from carbonnode.chain.certificate import Certificate, verify_certificate
from carbonnode.chain.codec import decode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.header import Header
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.client.client import Client
from carbonnode.client.types import BlockInfo, CertificateInfo, ValidatorInfo, VotingSetInfo
from carbonnode.errors import InvalidBlock, RemoteError

PAGE: Final = 100


class ChainAudit:
    """Walks certified blocks upwards and collects what is wrong, at most `MOST_PROBLEMS` lines of it."""

    MOST_PROBLEMS: Final = 50

    def __init__(self, genesis: Genesis, voting: VotingSetInfo) -> None:
        self._genesis = genesis
        sets = [genesis.validators, _known(voting.validators, genesis), _known(voting.next_validators, genesis)]
        self._sets = {known.hash: known for known in sets if known is not None}
        self._before: Header | None = None
        self.problems: list[str] = []
        self.checked = 0
        self.certificates = 0
        self.unknown_sets: set[bytes] = set()

    def block(self, info: BlockInfo) -> None:
        """Check one block: its hash, its place behind the one before, its certificate."""
        self.checked += 1
        try:
            header = decode(bytes.fromhex(info.header_raw), Header)
            self._check(info, header)
            self._before = header
        except (InvalidBlock, ValueError) as error:
            if len(self.problems) < self.MOST_PROBLEMS:
                self.problems.append(f"block {info.height}: {error}")

    def _check(self, info: BlockInfo, header: Header) -> None:
        digest, before = header.hash, self._before
        if header.chain_id != self._genesis.chain_id:
            raise InvalidBlock("it belongs to another chain than the genesis file", code="chain")
        if (header.height, digest.hex()) != (info.height, info.header_hash):
            raise InvalidBlock("its header has another height or hash than the node says", code="header")
        if before is not None:
            if (header.height, header.parent) != (before.height + 1, before.hash):
                raise InvalidBlock("it doesn't follow the block before it", code="parent")
            if header.validators_hash != before.next_validators_hash:
                raise InvalidBlock("it was certified by another validator set than the block before it announced", code="validators")
            if header.time_ms <= before.time_ms:
                raise InvalidBlock("its time isn't after that of the block before it", code="time")
        if header.height > 0:
            self._check_certificate(header, digest, info.certificate)

    def _check_certificate(self, header: Header, digest: bytes, found: CertificateInfo | None) -> None:
        validators = self._sets.get(header.validators_hash)
        if found is None:
            raise InvalidBlock("it has no certificate", code="certificate")
        if validators is None:
            self.unknown_sets.add(header.validators_hash)
            return
        votes = tuple((index, bytes.fromhex(signature)) for index, signature in found.votes)
        certificate = Certificate(found.epoch, found.height, bytes.fromhex(found.header_hash), votes)
        if (certificate.epoch, certificate.height, certificate.header_hash) != (header.epoch, header.height, digest):
            raise InvalidBlock("its certificate names another block", code="certificate")
        verify_certificate(certificate, validators, self._genesis.chain_id)
        self.certificates += 1


def _known(members: Sequence[ValidatorInfo], genesis: Genesis) -> ValidatorSet | None:
    if not members:
        return None
    decoded = tuple(Validator(v.name, v.role, bytes.fromhex(v.consensus_key), bytes.fromhex(v.transport_key)) for v in members)
    return ValidatorSet(decoded, genesis.parameters.profile)


async def audit_chain(client: Client, genesis: Genesis, first: int = 0, last: int | None = None) -> dict[str, Any]:
    """Blocks `first` to `last` (the tip) of a node: {"ok", "first", "last", "blocks", "certificates", "unknown_sets", "problems"}.

    `unknown_sets` counts validator sets between genesis and now whose members the node doesn't name any more: their hashes are chained, their
    certificates were not verified; a proof file (`tx show --proof`) brings those sets along.
    """
    tip = (await client.status()).height if last is None else last
    audit = ChainAudit(genesis, await client.validators())
    if tip < first:
        audit.problems.append(f"block {first}: the chain is at {tip}: nothing was audited")
    for start in range(first, tip + 1, PAGE):
        blocks = await client.blocks(start, min(PAGE, tip + 1 - start))
        for info in blocks:
            audit.block(info)
        if len(blocks) < min(PAGE, tip + 1 - start):
            audit.problems.append(f"block {start + len(blocks)}: the node doesn't have it")
            break
    counts = {"first": first, "last": tip, "blocks": audit.checked, "certificates": audit.certificates, "unknown_sets": len(audit.unknown_sets)}
    return {"ok": not audit.problems, **counts, "problems": audit.problems}


async def audit_nodes(clients: Sequence[Client]) -> dict[str, Any]:
    """Whether nodes hold the same block at the highest height that all of them have: {"ok", "height", "nodes": [{"api", "name", "height", "header_hash"}]}."""
    statuses = [await client.status() for client in clients]
    height = min(status.height for status in statuses)
    hashes = [(await client.block(height)).header_hash for client in clients]
    nodes = [
        {"api": client.url, "name": status.name, "height": status.height, "header_hash": found}
        for client, status, found in zip(clients, statuses, hashes, strict=True)
    ]
    return {"ok": len(set(hashes)) == 1, "height": height, "nodes": nodes}


async def audit_totals(client: Client, *, single: bool, page: int = PAGE) -> dict[str, Any]:
    """The sums of every vintage and of the money at one height: {"ok", "height", "rows": [{"what", "ok", "stated", "added"}]}.

    Public sums must balance. With `single`, holdings are added up one by one, page by page, and held against them: the client's signer must be a member.
    Raises `RemoteError`.
    """
    height = (await client.status()).height
    rows: list[dict[str, Any]] = []

    async def ask(contract: str, view: str, *args: Any) -> Any:
        answer = await client.query(contract, view, *args, height=height)
        if answer.code:
            raise RemoteError(f"{contract}.{view} was refused with {answer.code}: sign as a member of the network (--from)", code=answer.code)
        return answer.value

    async def added(contract: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> int:
        total, seen = 0, ""
        while True:
            seen, part = await ask(contract, "audit", *before, seen, page, *after)
            total += int(part)
            if not seen:
                return total

    def row(what: str, stated: int, found: int) -> None:
        rows.append({"what": what, "ok": stated == found, "stated": stated, "added": found})

    for iv in await ask("allowance", "vintage_ids"):
        _, issued, registry, trading, surrendered, cancelled, _ = await ask("allowance", "totals", iv)
        row(f"{iv}: issued = registry + trading + surrendered + cancelled", issued, registry + trading + surrendered + cancelled)
        if single:
            row(f"{iv}: registry holdings, one by one", registry, await added("allowance", (iv,), ("R",)))
            row(f"{iv}: trading holdings, one by one", trading, await added("allowance", (iv,), ("T",)))
    deposited, withdrawn, held, penalties = await ask("cash", "totals")
    row("cash: deposited = withdrawn + held + penalties", deposited, withdrawn + held + penalties)
    if single:
        row("cash: balances, one by one", held, await added("cash", (), ()))
    return {"ok": all(entry["ok"] for entry in rows), "height": height, "rows": rows}
