"""Transactions that kill executors: votes collected until a quorum orders to skip one, and those who wait for that order.

Nothing here is kept on disk: a node that starts again finds the same death and votes again, and the block's certificate is the lasting record.
"""

import asyncio
from collections.abc import Callable, Mapping

from carbonnode.chain.batch import SkipOrder
from carbonnode.chain.codec import encode
from carbonnode.chain.signing import Signer
from carbonnode.chain.skip import SkipVote, check_order, check_vote, sign_skip
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import InvalidBlock, PeerViolation
from carbonnode.node.wire import decode_payload

MOST_A_HEIGHT = 64
"""Transactions of one height that one validator may name."""
HEIGHTS_AHEAD = 256

Members = Callable[[], tuple[int, ValidatorSet]]
"""The epoch in force and its voting set."""


class SkipDesk:
    """`send` broadcasts an encoded vote to the validators; `alarm` (code, detail) tells the operator."""

    def __init__(self, chain_id: bytes, signer: Signer, members: Members, send: Callable[[bytes], None], alarm: Callable[[str, str], None]) -> None:
        self._chain_id = chain_id
        self._signer = signer
        self._members = members
        self._send = send
        self._alarm = alarm
        self._height = 0
        self._votes: dict[tuple[int, int, bytes], dict[int, bytes]] = {}
        self._own: dict[tuple[int, int, bytes], SkipVote] = {}
        self._orders: dict[int, dict[bytes, SkipOrder]] = {}
        self._stalemates: set[int] = set()
        self._changed = asyncio.Event()

    def died(self, height: int, tx_id: bytes, how: str) -> None:
        """Our executor keeps dying of `tx_id`: vote to skip it, once; a node that doesn't vote waits for the others."""
        epoch, validators = self._members()
        index = validators.index_of(self._signer.public_key)
        if (epoch, height, tx_id) not in self._own:
            self._alarm("executor-crash", how)
        if index is None or (epoch, height, tx_id) in self._own:
            return
        vote = sign_skip(self._signer, index, self._chain_id, epoch, height, tx_id)
        self._own[epoch, height, tx_id] = vote
        self._count(vote, validators)
        self._send(encode(vote))

    def receive(self, body: bytes) -> None:
        """A vote from a peer. Raises `PeerViolation` if it isn't one; one of another epoch, or far off, is passed over."""
        vote = decode_payload(body, SkipVote)
        epoch, validators = self._members()
        if vote.epoch != epoch or not self._height < vote.height <= self._height + HEIGHTS_AHEAD:
            return
        named = sum(vote.signer in votes for (_, height, tx_id), votes in self._votes.items() if height == vote.height and tx_id != vote.tx_id)
        if named >= MOST_A_HEIGHT:
            return
        try:
            check_vote(vote, validators, self._chain_id)
        except InvalidBlock as error:
            raise PeerViolation(str(error), code="skip-vote") from None
        self._count(vote, validators)

    def _count(self, vote: SkipVote, validators: ValidatorSet) -> None:
        votes = self._votes.setdefault((vote.epoch, vote.height, vote.tx_id), {})
        votes.setdefault(vote.signer, vote.signature)
        orders = self._orders.setdefault(vote.height, {})
        if len(votes) < validators.quorum or vote.tx_id in orders:
            return
        order = SkipOrder(vote.height, vote.tx_id, tuple(sorted(votes.items())[: validators.quorum]))
        check_order(order, validators, self._chain_id, vote.epoch)
        orders[vote.tx_id] = order
        self._alarm("skip-order", f"a quorum of validators orders to skip {vote.tx_id.hex()} in block {vote.height}: it is answered with ABORTED_BY_QUORUM")
        self._changed.set()

    def watch(self, header_votes: Callable[[int], Mapping[int, bytes]]) -> None:
        """Say so, once a height, when too many die of a transaction and too many don't: then no header of that block can be certified, and nothing here helps.

        `header_votes(height)`: the header hash by signer's index that each validator voted for (`Replica.header_votes`).
        """
        epoch, validators = self._members()
        for (at, height, tx_id), votes in self._votes.items():
            if at != epoch or height in self._stalemates or len(votes) >= validators.quorum:
                continue
            made = header_votes(height)
            dying = [signer for signer in sorted(votes) if signer not in made]
            if min(len(dying), len(made)) <= len(validators) - validators.quorum:
                continue
            self._stalemates.add(height)
            names = ", ".join(validators[signer].name for signer in dying)
            self._alarm(
                "no-certificate",
                f"block {height} can't be certified: the executors of {len(dying)} of {len(validators)} validators ({names}) die of {tx_id.hex()}, "
                f"{len(made)} executed it, and {validators.quorum} must agree. What they die of depends on the machine: give them the memory "
                "(executor.memory_mb), Python and release of the others. They keep trying, and the chain goes on by itself once enough come through; "
                "don't roll the others back",
            )

    def orders(self, height: int) -> tuple[SkipOrder, ...]:
        """What a quorum orders to skip at a height."""
        return tuple(self._orders.get(height, {}).values())

    def repeat(self) -> None:
        """Send our votes again: a link may have dropped them, or their receiver was away."""
        for vote in self._own.values():
            self._send(encode(vote))

    def settle(self, height: int) -> None:
        """The height is final: whatever was voted up to it is done with."""
        self._height = max(self._height, height)
        self._votes = {key: votes for key, votes in self._votes.items() if key[1] > height}
        self._own = {key: vote for key, vote in self._own.items() if key[1] > height}
        self._stalemates = {at for at in self._stalemates if at > height}
        self._orders = {at: orders for at, orders in self._orders.items() if at > height}

    async def changed(self, timeout_s: float) -> None:
        """Wait for a new order or for `wake`, at most so long."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return

    def wake(self) -> None:
        """Let those who wait look again."""
        self._changed.set()
