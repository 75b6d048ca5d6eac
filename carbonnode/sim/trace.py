"""Messages as text a person can follow."""

from carbonnode.consensus.messages import (
    BatchReply,
    Certified,
    Checkpoint,
    Commit,
    FetchBatch,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    Suspect,
    ViewChange,
    batch_digest,
)


def _short(digest: bytes) -> str:
    return digest.hex()[:8]


def describe(message: Message) -> str:
    """One line without the recipient: kind, who signed, place, digest."""
    if isinstance(message, PrePrepare):
        return f"PRE-PREPARE h{message.height} v{message.view} {_short(batch_digest(message.batch))} by {message.signer}"
    if isinstance(message, Prepare | Commit):
        return f"{type(message).__name__.upper()} h{message.height} v{message.view} {_short(message.digest)} by {message.signer}"
    if isinstance(message, Checkpoint):
        return f"CHECKPOINT h{message.height} {_short(message.header_hash)} by {message.signer}"
    if isinstance(message, Suspect):
        return f"SUSPECT v{message.view} by {message.signer}"
    if isinstance(message, ViewChange):
        proofs = " ".join(f"h{p.height}@v{p.view}:{_short(p.digest)}" for p in message.prepared)
        stable = message.stable.height if message.stable is not None else "base"
        return f"VIEW-CHANGE v{message.view} stable {stable} prepared [{proofs}] by {message.signer}"
    if isinstance(message, NewView):
        proposals = " ".join(f"h{p.height}:{_short(p.digest)}" for p in message.proposals)
        return f"NEW-VIEW v{message.view} from {[vc.signer for vc in message.view_changes]} proposals [{proposals}] by {message.signer}"
    return _describe_link(message)


def _describe_link(message: Status | FetchBatch | BatchReply | Certified) -> str:
    if isinstance(message, Status):
        mode = "active" if message.active else "changing"
        return f"STATUS e{message.epoch} v{message.view} {mode} stable {message.stable} ordered {message.executed} slots {list(message.slots)}"
    if isinstance(message, FetchBatch):
        return f"FETCH-BATCH h{message.height} {_short(message.digest)}"
    if isinstance(message, BatchReply):
        return f"BATCH h{message.height} {_short(batch_digest(message.batch))}"
    return f"CERTIFICATE h{message.certificate.height} {_short(message.certificate.header_hash)}"
