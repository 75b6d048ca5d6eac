"""The bench's accounts: keys from their number, and the transactions that give each units and cash."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from carbonnode.chain.signing import KeySigner, Signer
from carbonnode.chain.transaction import MAX_CALLS, Body, Call, Transaction

BOOK = "CEA-2024"
UNITS_T = 1_000_000
CASH_FEN = 100_000_000_000
SETUP_GAS = 20_000_000


@dataclass(frozen=True)
class Account:
    """One trading organisation of the bench."""

    entity: str
    signer: KeySigner


def make_accounts(count: int) -> tuple[Account, ...]:
    """`count` accounts with keys derived from their numbers: throw-away keys of a throw-away network."""
    return tuple(Account(f"BENCH-{n:05d}", KeySigner(blake2b(b"bench account %d" % n, digest_size=32).digest())) for n in range(count))


def nonce_of(*parts: object) -> bytes:
    """A nonce that doesn't repeat within a run; the bench needs no secrecy."""
    return blake2b(repr(parts).encode(), digest_size=16).digest()


def batches_of_calls(calls: list[Call], size: int = 32) -> Iterator[tuple[Call, ...]]:
    """The calls in groups that one transaction can carry."""
    assert size <= MAX_CALLS
    for start in range(0, len(calls), size):
        yield tuple(calls[start : start + size])


def sign_calls(chain_id: bytes, signer: Signer, groups: Iterator[tuple[Call, ...]], valid_until: int, tag: str) -> list[Transaction]:
    """One transaction per group."""
    return [
        Transaction.sign(Body(chain_id, signer.public_key, nonce_of(tag, n, valid_until), valid_until, SETUP_GAS, group), signer)
        for n, group in enumerate(groups)
    ]


def admit_calls(accounts: tuple[Account, ...]) -> list[Call]:
    """AUTHORITY: register every account."""
    dossier = bytes(32)
    return [Call("identity", "admit", (a.entity, a.entity, a.entity, "institution", "K6499", 1, a.signer.public_key, dossier)) for a in accounts]


def issue_calls(accounts: tuple[Account, ...]) -> list[Call]:
    """AUTHORITY: units into every trading holding."""
    return [Call("allowance", "issue", (a.entity, BOOK, UNITS_T, "opening balance", True)) for a in accounts]


def deposit_calls(accounts: tuple[Account, ...]) -> list[Call]:
    """CASH operator: money into every cash account."""
    return [Call("cash", "deposit", (a.entity, CASH_FEN, f"bench {a.entity}")) for a in accounts]
