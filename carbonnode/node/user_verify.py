"""What a user node checks of every block it gets: nothing is believed that the header and its certificate don't bear out."""

from dataclasses import dataclass

from carbonnode.chain.certificate import verify_certificate
from carbonnode.chain.codec import decode
from carbonnode.chain.event import PUBLIC, Event
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.header import Header
from carbonnode.chain.merkle import leaf_hash, root_of_leaf_hashes, tree_head
from carbonnode.chain.proof import SALT_BYTES
from carbonnode.chain.receipt import Receipt
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import CarbonnodeError, InvalidBlock
from carbonnode.node.wire import UserBlock


@dataclass(slots=True)
class Trail:
    """Where a user node stands: the last block it verified, who certifies the next, and the last event sequence of each audience it sees."""

    chain_id: bytes
    organisation: str
    profile: str
    height: int
    header_hash: bytes
    validators: ValidatorSet
    sequences: dict[str, int]


@dataclass(frozen=True, slots=True)
class VerifiedBlock:
    """A user block that holds, decoded; `trail` is where the node stands after it."""

    block: UserBlock
    header: Header
    header_hash: bytes
    events: tuple[tuple[int, Event], ...]
    transactions: tuple[tuple[Transaction, Receipt], ...]
    trail: Trail


def verify_user_block(block: UserBlock, trail: Trail) -> VerifiedBlock:
    """Check a block against the one before it. Raises `InvalidBlock` that names what doesn't hold."""
    header = decode(block.header, Header)
    header_hash = header.hash
    where = f"block {header.height} as sent to this node"
    if header.chain_id != trail.chain_id or header.height != trail.height + 1 or (header.height > 0 and header.parent != trail.header_hash):
        raise InvalidBlock(f"{where} doesn't follow block {trail.height}", code="parent")
    if header.validators_hash != trail.validators.hash:
        raise InvalidBlock(f"{where} was certified by another validator set than the one traced from genesis", code="validators")
    if header.height > 0:
        _check_certificate(block, header, header_hash, trail, where)
    events, sequences = _check_events(block, header, trail, where)
    transactions = _check_transactions(block, header, where)
    following = Trail(
        trail.chain_id, trail.organisation, trail.profile, header.height, header_hash, _next_validators(block, header, trail, where), sequences
    )
    return VerifiedBlock(block, header, header_hash, events, transactions, following)


def _check_certificate(block: UserBlock, header: Header, header_hash: bytes, trail: Trail, where: str) -> None:
    certificate = block.certificate
    if certificate is None or (certificate.epoch, certificate.height, certificate.header_hash) != (header.epoch, header.height, header_hash):
        raise InvalidBlock(f"{where} has no certificate for its header", code="certificate")
    verify_certificate(certificate, trail.validators, trail.chain_id)


def _next_validators(block: UserBlock, header: Header, trail: Trail, where: str) -> ValidatorSet:
    if header.next_validators_hash == trail.validators.hash:
        return trail.validators
    try:
        following = ValidatorSet(block.next_validators, trail.profile)
    except CarbonnodeError as error:
        raise InvalidBlock(f"{where} announces a validator set that isn't well formed: {error}", code="validators") from None
    if following.hash != header.next_validators_hash:
        raise InvalidBlock(f"{where} announces another validator set than the one that came with it", code="validators")
    return following


def _check_events(block: UserBlock, header: Header, trail: Trail, where: str) -> tuple[tuple[tuple[int, Event], ...], dict[str, int]]:
    """Every event stands under the events root, is ours to see, and none is missing: sequences count without gaps."""
    if tree_head(block.event_leaves) != header.events_root:
        raise InvalidBlock(f"the event leaves of {where} don't give its events root", code="events")
    sequences = dict(trail.sequences)
    found: list[tuple[int, Event]] = []
    last = -1
    for own in block.events:
        if not last < own.index < len(block.event_leaves) or len(own.salt) != SALT_BYTES:
            raise InvalidBlock(f"{where} has an event out of place", code="events")
        if leaf_hash(own.salt + own.event) != block.event_leaves[own.index]:
            raise InvalidBlock(f"{where} has an event that isn't under its events root", code="events")
        event = decode(own.event, Event)
        if event.to not in (PUBLIC, trail.organisation):
            raise InvalidBlock(f"{where} has an event for {event.to}, not for {trail.organisation}", code="events")
        if event.sequence != sequences.get(event.to, 0) + 1:
            who = event.to or "the public feed"
            raise InvalidBlock(f"{where}: event {event.sequence} of {who} follows event {sequences.get(event.to, 0)}: one was kept back", code="gap")
        sequences[event.to] = event.sequence
        last = own.index
        found.append((own.index, event))
    return tuple(found), sequences


def _check_transactions(block: UserBlock, header: Header, where: str) -> tuple[tuple[Transaction, Receipt], ...]:
    count, inner = block.transaction_count, block.transactions_inner
    if count < 0 or blake2b_256(b"\x02" + count.to_bytes(8, "big") + inner) != header.transactions_root:
        raise InvalidBlock(f"{where} doesn't have the number of transactions it claims", code="transactions")
    if not block.transactions:
        return ()
    leaves = [leaf_hash(wire_hash) for wire_hash in block.wire_hashes]
    if len(leaves) != count or root_of_leaf_hashes(leaves) != inner or tree_head(block.receipt_leaves) != header.receipts_root:
        raise InvalidBlock(f"the trees of {where} don't give its roots", code="transactions")
    jobs = len(block.receipt_leaves) - count
    found: list[tuple[Transaction, Receipt]] = []
    for own in block.transactions:
        if jobs < 0 or not 0 <= own.index < count:
            raise InvalidBlock(f"{where} has a transaction out of place", code="transactions")
        transaction = Transaction.decode(own.raw)
        receipt = decode(own.receipt, Receipt)
        if transaction.wire_hash != block.wire_hashes[own.index]:
            raise InvalidBlock(f"{where} has a transaction that isn't under its transactions root", code="transactions")
        leaf = leaf_hash(own.receipt_salt + own.receipt)
        if len(own.receipt_salt) != SALT_BYTES or leaf != block.receipt_leaves[jobs + own.index] or receipt.tx_id != transaction.id:
            raise InvalidBlock(f"{where} has a receipt that isn't under its receipts root", code="receipts")
        found.append((transaction, receipt))
    return tuple(found)
