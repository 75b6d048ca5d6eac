"""Validator side of user nodes: certified blocks as each organisation may see them, pushed as they become final, and served on request.

A user node gets every header and certificate, the public events, and what is its organisation's: events addressed to it and transactions that its
keys signed. Of everything else it gets leaf hashes, which are blinded. The part that all user nodes share is made once a block.
"""

from collections.abc import Awaitable, Callable, Iterable

from carbonnode.chain.codec import encode
from carbonnode.chain.event import PUBLIC
from carbonnode.chain.transaction import Transaction
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.node.history import History
from carbonnode.node.wire import FetchBlocks, OwnEvent, OwnTransaction, Raws, UserBlock
from carbonnode.storage.blocks import StoredBlock

BLOCKS_A_REQUEST = 200
BYTES_A_REQUEST = 8 * 1024 * 1024

OrganisationOf = Callable[[bytes], Awaitable[str]]
"""The organisation that a key acts for, "" if none's; cached by the node."""


class UserBlockMaker:
    """Makes `UserBlock`s of one certified block."""

    def __init__(self, stored: StoredBlock, outcome: ExecutedBlock, senders: "dict[bytes, str]") -> None:
        """`senders` maps the keys that signed transactions of the block to organisations; keys that aren't in it are nobody's."""
        self._stored = stored
        self._outcome = outcome
        self._event_leaves = tuple(outcome.event_leaves())
        self._header = stored.header.encoded
        self._transactions = [Transaction.decode(raw) for raw in stored.transactions] if senders else []
        self._senders = senders

    def for_organisation(self, organisation: str) -> UserBlock:
        """The block as `organisation` may see it."""
        outcome, stored = self._outcome, self._stored
        assert stored.certificate is not None, "genesis is never pushed"
        events = tuple(
            [
                OwnEvent(index, outcome.event_salts[index], event.encoded)
                for index, event in enumerate(outcome.events)
                if event.to == PUBLIC or event.to == organisation
            ]
        )
        own = [index for index, tx in enumerate(self._transactions) if self._senders.get(tx.body.sender, "") == organisation]
        transactions = tuple([self._own(index) for index in own])
        return UserBlock(
            self._header,
            stored.certificate,
            self._event_leaves,
            events,
            outcome.job_count,
            tuple([tx.wire_hash for tx in self._transactions]) if own else (),
            tuple(outcome.receipt_leaves()) if own else (),
            transactions,
        )

    def _own(self, index: int) -> OwnTransaction:
        place = self._outcome.job_count + index
        receipt = self._outcome.receipts[place]
        return OwnTransaction(index, self._stored.transactions[index], self._outcome.receipt_salts[place], receipt.encoded)


async def senders_of(raws: Iterable[bytes], organisation_of: OrganisationOf) -> dict[bytes, str]:
    """Organisations of the keys that signed these transactions."""
    senders: dict[bytes, str] = {}
    for raw in raws:
        key = Transaction.decode(raw).body.sender
        if key not in senders:
            organisation = await organisation_of(key)
            if organisation:
                senders[key] = organisation
    return senders


async def serve_user_blocks(history: History, wanted: FetchBlocks, organisation: str, organisation_of: OrganisationOf) -> Raws:
    """The answer to a user node that lacks blocks."""
    items: list[bytes] = []
    size = 0
    for height in range(max(wanted.first, 1), min(wanted.first + min(wanted.count, BLOCKS_A_REQUEST), history.height + 1)):
        stored, outcome = history.block(height)
        senders = await senders_of(stored.transactions, organisation_of)
        item = encode(UserBlockMaker(stored, outcome, senders).for_organisation(organisation))
        size += len(item)
        if items and size > min(wanted.max_bytes, BYTES_A_REQUEST):
            break
        items.append(item)
    return Raws(tuple(items))
