"""Validator side of user nodes: certified blocks as each organisation may see them, pushed as they become final, and served on request.

A user node gets every header and certificate, the public events, and what is its organisation's: events addressed to it and transactions that its
keys signed. Of everything else it gets leaf hashes, which are blinded.
"""

import asyncio
from collections.abc import Sequence

from carbonnode.chain import values
from carbonnode.chain.codec import encode
from carbonnode.chain.merkle import leaf_hash, root_of_leaf_hashes
from carbonnode.chain.service import ANONYMOUS, FINAL
from carbonnode.chain.transaction import Transaction, calls_from_wire, check_calls
from carbonnode.chain.validators import Validator
from carbonnode.errors import CarbonnodeError, PeerViolation, RemoteError
from carbonnode.ledger.access import hears
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.network import Channel, PeerIdentity
from carbonnode.node.pipeline import FinalBlock
from carbonnode.node.turns import in_turns
from carbonnode.node.validator import ValidatorNode
from carbonnode.node.wire import (
    AbiRequest,
    BulkKind,
    EstimateAnswer,
    EstimateRequest,
    FetchBlocks,
    Names,
    OwnEvent,
    OwnTransaction,
    Raws,
    RequestKind,
    StatusAnswer,
    StatusAnswers,
    SubmitAnswer,
    SubmitAnswers,
    UserBlock,
    ViewRequest,
    decode_payload,
    pack,
)
from carbonnode.node.workers import start_worker
from carbonnode.storage.blocks import StoredBlock

BLOCKS_A_REQUEST = 200
BYTES_A_REQUEST = 8 * 1024 * 1024
MAX_SUBMIT = 2_000
STATUSES_A_TURN = 64
MAX_BEHIND = 50
"""Blocks that wait to be pushed; a user node that gets none of them fetches them later."""
USER = frozenset({"user"})


class UserBlockMaker:
    """Makes `UserBlock`s of one certified block; what they share is made once."""

    def __init__(self, stored: StoredBlock, outcome: ExecutedBlock, transactions: Sequence[Transaction], next_validators: tuple[Validator, ...]) -> None:
        self._stored = stored
        self._outcome = outcome
        self._transactions = transactions
        self._next_validators = next_validators
        self._event_leaves = tuple(outcome.event_leaves())
        self._header = stored.header.encoded
        self._wire_hashes = tuple([tx.wire_hash for tx in transactions])
        self._inner = root_of_leaf_hashes([leaf_hash(wire_hash) for wire_hash in self._wire_hashes])

    def for_organisation(self, organisation: str, organisations: dict[bytes, str]) -> UserBlock:
        """The block as `organisation` may see it; `organisations` tells whose a signing key is."""
        outcome = self._outcome
        events = [OwnEvent(index, outcome.event_salts[index], event.encoded) for index, event in enumerate(outcome.events) if hears(organisation, event.to)]
        own = [index for index, tx in enumerate(self._transactions) if organisations.get(tx.body.sender) == organisation]
        return UserBlock(
            self._header,
            self._stored.certificate,
            self._event_leaves,
            tuple(events),
            len(self._wire_hashes),
            self._inner,
            self._wire_hashes if own else (),
            tuple(outcome.receipt_leaves()) if own else (),
            tuple([self._own(index) for index in own]),
            self._next_validators,
        )

    def _own(self, index: int) -> OwnTransaction:
        place = self._outcome.job_count + index
        receipt = self._outcome.receipts[place]
        return OwnTransaction(index, self._stored.transactions[index], self._outcome.receipt_salts[place], receipt.encoded)


class UserRelay:
    """Pushes to connected user nodes and answers them."""

    def __init__(self, node: ValidatorNode) -> None:
        self._node = node
        self._users: dict[str, str] = {}
        self._pending: list[FinalBlock] = []
        self._task: asyncio.Task[None] | None = None
        node.on_block.append(self._final)
        node.on_peer.append(self._peer)
        node.peering.answers |= {
            RequestKind.USER_BLOCKS: (USER, self._blocks),
            RequestKind.SUBMIT: (USER, self._submit),
            RequestKind.VIEW: (USER, self._view),
            RequestKind.ESTIMATE: (USER, self._estimate),
            RequestKind.ABI: (USER, self._abi),
            RequestKind.TRANSACTION_STATUS: (USER, self._statuses),
            RequestKind.PROOFS: (USER, self._proofs),
        }

    async def stop(self) -> None:
        """End pushing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- push ---------------------------------------------------------------------------------------------------------------------------

    def _peer(self, peer: PeerIdentity, up: bool) -> None:
        if peer.role == "user":
            if up:
                self._users[peer.name] = peer.organisation
            else:
                self._users.pop(peer.name, None)

    def _final(self, block: FinalBlock) -> None:
        if not self._users or len(self._pending) >= MAX_BEHIND:
            return
        self._pending.append(block)
        if self._task is None or self._task.done():
            self._task = start_worker(self._push(), "user-push", vital=False)

    async def _push(self) -> None:
        while self._pending:
            block = self._pending.pop(0)
            maker = self._maker(block.stored, block.outcome, block.transactions)
            organisations = await self._organisations(block.transactions)
            made: dict[str, bytes] = {}
            for name, organisation in list(self._users.items()):
                if organisation not in made:
                    made[organisation] = pack(BulkKind.USER_BLOCK, encode(maker.for_organisation(organisation, organisations)))
                self._node.sender.send(name, Channel.BULK, made[organisation])

    def _maker(self, stored: StoredBlock, outcome: ExecutedBlock, transactions: Sequence[Transaction]) -> UserBlockMaker:
        return UserBlockMaker(stored, outcome, transactions, self._node.changes.announced_at(stored.header.height))

    async def _organisations(self, transactions: Sequence[Transaction]) -> dict[bytes, str]:
        of = self._node.organisations.of
        found: dict[bytes, str] = {}
        for key in {tx.body.sender for tx in transactions}:
            try:
                found[key] = await of(key)
            except CarbonnodeError as error:
                # Only its owner's node misses it, and gets it by proof when it asks.
                self._node.around.log.warning("organisation unknown", key=key, error=str(error))
        return found

    # -- answers ------------------------------------------------------------------------------------------------------------------------

    async def _blocks(self, peer: PeerIdentity, payload: bytes) -> bytes:
        wanted = decode_payload(payload, FetchBlocks)
        history = self._node.history
        items: list[bytes] = []
        size = 0
        # Older blocks than this node has: others are asked for them.
        start = max(wanted.first, 0) if wanted.first >= history.first else history.height + 1
        async for height in in_turns(range(start, min(wanted.first + min(wanted.count, BLOCKS_A_REQUEST), history.height + 1))):
            stored, outcome = history.block(height)
            transactions = [Transaction.decode(raw) for raw in stored.transactions]
            organisations = await self._organisations(transactions)
            item = encode(self._maker(stored, outcome, transactions).for_organisation(peer.organisation, organisations))
            size += len(item)
            if items and size > min(wanted.max_bytes, BYTES_A_REQUEST):
                break
            items.append(item)
        return encode(Raws(tuple(items)))

    async def _submit(self, _peer: PeerIdentity, payload: bytes) -> bytes:
        raws = decode_payload(payload, Raws).items
        if len(raws) > MAX_SUBMIT:
            raise PeerViolation(f"{len(raws)} transactions in one request, at most {MAX_SUBMIT}", code="too-many")
        results = await self._node.admission.submit(raws)
        return encode(SubmitAnswers(tuple([SubmitAnswer(r.tx_id, r.status, r.code, r.message) for r in results])))

    async def _may_ask_as(self, peer: PeerIdentity, sender: bytes) -> None:
        if await self._node.organisations.of(sender) not in ("", peer.organisation):
            raise PeerViolation(f"the key {sender.hex()} acts for another organisation than {peer.organisation}", code="forbidden")

    async def _estimate(self, peer: PeerIdentity, payload: bytes) -> bytes:
        asked = decode_payload(payload, EstimateRequest)
        if asked.sender == ANONYMOUS:
            # What runs as nobody's key runs as the ledger itself, for which contracts do more.
            raise PeerViolation("a dry run needs the key that would sign", code="forbidden")
        if self._node.syncer.active:
            raise RemoteError("this node is catching up: ask another", code="busy")
        calls = calls_from_wire(asked.calls)
        check_calls(calls)
        await self._may_ask_as(peer, asked.sender)
        return encode(EstimateAnswer(await self._node.executor.estimate(calls, asked.sender), len(self._node.pool)))

    async def _view(self, peer: PeerIdentity, payload: bytes) -> bytes:
        asked = decode_payload(payload, ViewRequest)
        if asked.sender != ANONYMOUS:
            await self._may_ask_as(peer, asked.sender)
        args = tuple([values.decode_value(arg) for arg in asked.args])
        height = None if asked.height < 0 else asked.height
        return encode(await self._node.executor.query(asked.contract, asked.view, args, asked.sender, height))

    async def _abi(self, _peer: PeerIdentity, payload: bytes) -> bytes:
        name = decode_payload(payload, AbiRequest).name
        executor = self._node.executor
        if not name:
            return encode(Names(await executor.contracts()))
        found = await executor.abi(name)
        return encode(found)

    async def _statuses(self, _peer: PeerIdentity, payload: bytes) -> bytes:
        answers: list[StatusAnswer] = []
        async for tx_id in in_turns(decode_payload(payload, Raws).items, STATUSES_A_TURN):
            place = self._node.history.place(tx_id)
            if place is None:
                answers.append(StatusAnswer(tx_id, self._node.pool.status(tx_id), 0))
            else:
                answers.append(StatusAnswer(tx_id, FINAL, place[0]))
        return encode(StatusAnswers(tuple(answers)))

    async def _proofs(self, _peer: PeerIdentity, payload: bytes) -> bytes:
        """Proof files of transactions given as id + wire hash; b"" where the two don't belong together or the transaction isn't final."""
        proofs: list[bytes] = []
        async for item in in_turns(decode_payload(payload, Raws).items):
            tx_id, wire_hash = item[:32], item[32:]
            place = self._node.history.place(tx_id)
            if place is None:
                proofs.append(b"")
                continue
            proof = self._node.history.proof(tx_id)
            proofs.append(proof.to_json() if Transaction.decode(proof.transaction).wire_hash == wire_hash else b"")
        return encode(Raws(tuple(proofs)))
