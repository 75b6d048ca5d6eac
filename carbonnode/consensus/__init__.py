"""PBFT as a pure state machine: events in, actions out, no IO, no clock, no chance (design, section 3).

Public surface, by module:

- `replica`: `Replica.step(event) -> tuple[Action, ...]`, `Replica.restore(...)`, `Replica.view_of_state()` for status and metrics.
- `events`, `actions`: what goes in and what comes out; the duties of the driver stand in their docstrings.
- `messages`: the wire: `encode_message`, `decode_message`, `verify_signed`.
- `config`: `EpochConfig`, `StableState`, `Tuning`.
- `journal`: the records a replica persists, opaque to storage.
- `evidence`: proofs of equivocation and their verification.

How the protocol works, and where it differs from Castro and Liskov: docs/spec/consensus.md.
"""
