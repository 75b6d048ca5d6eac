"""Checks of everything that proves itself: certificates, prepared proofs, VIEW-CHANGE, NEW-VIEW (PBFT.md 2, 26, 27). They raise, never return False."""

from collections.abc import Iterable

from carbonnode.chain.batch import NULL_BATCH
from carbonnode.chain.certificate import Certificate, checkpoint_bytes
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.messages import (
    NewView,
    PreparedProof,
    Verify,
    ViewChange,
    pre_prepare_bytes,
    prepare_bytes,
    view_change_bytes,
)
from carbonnode.errors import PeerViolation


class VerifyCache:
    """A verifier that remembers good signatures: the same ones come in several VIEW-CHANGEs. Bounded; bad ones aren't kept."""

    def __init__(self, verify: Verify, capacity: int = 8_192) -> None:
        self._verify = verify
        self._capacity = capacity
        self._young: set[tuple[bytes, bytes, bytes]] = set()
        self._old: set[tuple[bytes, bytes, bytes]] = set()

    def __call__(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the signature is good."""
        key = (public_key, message, signature)
        if key in self._young or key in self._old:
            return True
        if not self._verify(public_key, message, signature):
            return False
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, set()
        self._young.add(key)
        return True


def _refuse(what: str, why: str) -> PeerViolation:
    return PeerViolation(f"{what} is refused: {why}", code="bad-proof")


def _distinct(votes: tuple[tuple[int, bytes], ...], size: int) -> bool:
    indices = [index for index, _ in votes]
    return indices == sorted(set(indices)) and (not indices or 0 <= indices[0] <= indices[-1] < size)


def check_certificate(certificate: Certificate, config: EpochConfig, chain_id: bytes, verify: Verify) -> None:
    """A quorum of distinct members of the epoch signed the header hash. Raises `PeerViolation`."""
    what = f"the certificate of height {certificate.height}"
    validators = config.validators
    if certificate.epoch != config.epoch or certificate.height < config.first_height:
        raise _refuse(what, f"it belongs to epoch {certificate.epoch}")
    if not _distinct(certificate.votes, len(validators)) or len(certificate.votes) < validators.quorum:
        raise _refuse(what, f"it lacks {validators.quorum} votes of distinct members")
    signed = checkpoint_bytes(chain_id, certificate.epoch, certificate.height, certificate.header_hash)
    for index, signature in certificate.votes:
        if not verify(validators[index].consensus_key, signed, signature):
            raise _refuse(what, f"the signature of validator {index} doesn't verify")


def check_prepared(proof: PreparedProof, config: EpochConfig, chain_id: bytes, verify: Verify) -> None:
    """The primary proposed, and others prepared, this digest: a quorum of distinct members together. Raises `PeerViolation`."""
    what = f"the prepared proof of height {proof.height}, view {proof.view}"
    validators = config.validators
    primary = validators.primary(proof.view)
    if proof.epoch != config.epoch:
        raise _refuse(what, f"it belongs to epoch {proof.epoch}")
    if not _distinct(proof.prepares, len(validators)) or any(index == primary for index, _ in proof.prepares):
        raise _refuse(what, "its prepares aren't of distinct backups")
    if len(proof.prepares) + 1 != validators.quorum:
        raise _refuse(what, f"it isn't of a quorum of {validators.quorum}")  # more would prove no more, and burst the bound of messages
    proposal = pre_prepare_bytes(chain_id, proof.epoch, proof.view, proof.height, proof.digest)
    if not verify(validators[primary].consensus_key, proposal, proof.proposal_signature):
        raise _refuse(what, "the primary's signature doesn't verify")
    prepare = prepare_bytes(chain_id, proof.epoch, proof.view, proof.height, proof.digest)
    for index, signature in proof.prepares:
        if not verify(validators[index].consensus_key, prepare, signature):
            raise _refuse(what, f"the signature of validator {index} doesn't verify")


def stable_height(message: ViewChange, config: EpochConfig) -> int:
    """The stable checkpoint a VIEW-CHANGE claims: its certificate's height, or the epoch's base."""
    return message.stable.height if message.stable is not None else config.base


def check_view_change(message: ViewChange, config: EpochConfig, chain_id: bytes, verify: Verify) -> None:
    """Everything inside a VIEW-CHANGE holds (its outer signature was checked before). Raises `PeerViolation`."""
    what = f"the VIEW-CHANGE of validator {message.signer} to view {message.view}"
    if message.epoch != config.epoch or message.view < 1:
        raise _refuse(what, f"it belongs to epoch {message.epoch}, view {message.view}")
    if message.stable is not None:
        check_certificate(message.stable, config, chain_id, verify)
        if len(message.stable.votes) > config.validators.quorum:
            raise _refuse(what, "its certificate holds more votes than a quorum")
    low = stable_height(message, config)
    heights = [proof.height for proof in message.prepared]
    # Two windows: a loss of power may take a window of blocks that weren't synced yet, and none of the journal (found by the simulator).
    if heights != sorted(set(heights)) or (heights and not low < heights[0] <= heights[-1] <= low + 2 * config.parameters.window):
        raise _refuse(what, "its prepared heights aren't ascending within two windows above its stable checkpoint")
    for proof in message.prepared:
        if proof.view >= message.view:
            raise _refuse(what, f"height {proof.height} claims to be prepared in view {proof.view}, which hasn't begun")
        check_prepared(proof, config, chain_id, verify)


class Outcome:
    """What a quorum of VIEW-CHANGEs makes of a new view: the stable checkpoint it starts from, and a digest for each height above."""

    __slots__ = ("digests", "stable")

    def __init__(self, stable: int, digests: tuple[tuple[int, bytes], ...]) -> None:
        self.stable = stable
        self.digests = digests


def outcome(view_changes: Iterable[ViewChange], config: EpochConfig) -> Outcome:
    """The one outcome of these VIEW-CHANGEs, the same for all (PBFT.md 28 to 30).

    The highest proven checkpoint is the start: it always exists. Per height above it the proof of the highest view wins (two proofs of one view
    can't differ, as quorums meet in an honest replica); a height without proof becomes a null request.
    """
    changes = tuple(view_changes)
    low = max((stable_height(vc, config) for vc in changes), default=config.base)
    best: dict[int, PreparedProof] = {}
    for change in changes:
        for proof in change.prepared:
            held = best.get(proof.height)
            if proof.height > low and (held is None or proof.view > held.view):
                best[proof.height] = proof
    top = max(best, default=low)
    digests = tuple((h, best[h].digest if h in best else NULL_BATCH.digest) for h in range(low + 1, top + 1))
    return Outcome(low, digests)


def check_new_view(message: NewView, config: EpochConfig, chain_id: bytes, verify: Verify) -> Outcome:
    """Recompute a NEW-VIEW from the VIEW-CHANGEs in it and compare. Raises `PeerViolation`; gives the outcome."""
    what = f"the NEW-VIEW of view {message.view}"
    validators = config.validators
    primary = validators.primary(message.view)
    if message.epoch != config.epoch or message.view < 1 or message.signer != primary:
        raise _refuse(what, f"epoch {message.epoch}, signer {message.signer}")
    signers = [vc.signer for vc in message.view_changes]
    if signers != sorted(set(signers)) or len(signers) != validators.quorum or signers[-1] >= len(validators):
        raise _refuse(what, f"it isn't of {validators.quorum} VIEW-CHANGEs of distinct members")
    for change in message.view_changes:
        if change.view != message.view:
            raise _refuse(what, f"validator {change.signer} went to view {change.view}")
        if not verify(validators[change.signer].consensus_key, view_change_bytes(chain_id, change), change.signature):
            raise _refuse(what, f"the VIEW-CHANGE of validator {change.signer} isn't signed by it")
        check_view_change(change, config, chain_id, verify)
    result = outcome(message.view_changes, config)
    if tuple((p.height, p.digest) for p in message.proposals) != result.digests:
        raise _refuse(what, "it proposes something else than its VIEW-CHANGEs ask for")
    for p in message.proposals:
        signed = pre_prepare_bytes(chain_id, message.epoch, message.view, p.height, p.digest)
        if not verify(validators[primary].consensus_key, signed, p.signature):
            raise _refuse(what, f"its proposal of height {p.height} isn't signed by the primary")
    return result
