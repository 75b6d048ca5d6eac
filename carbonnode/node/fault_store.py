"""Proofs of validators' faults, kept for good: one file each in the data directory, which convinces anyone who has the genesis file.

`carbonnode status` names them; `carbonnode verify FILE --genesis GENESIS` checks one offline, on any machine.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from carbonnode.chain.fault_proof import VERSION, FaultProof, parse_fault_proof
from carbonnode.chain.proof import ValidatorChange
from carbonnode.consensus.evidence import Evidence
from carbonnode.errors import InvalidBlock
from carbonnode.storage.datadir import write_durably
from carbonnode.storage.space import FULL_ERRNOS

MOST_A_SIGNER = 16
"""Files kept for one validator in one epoch: a flood of further faults proves nothing new."""


class FaultStore:
    """`directory` is made when the first proof comes."""

    def __init__(self, directory: Path, chain_id: bytes) -> None:
        self._directory = directory
        self._chain_id = chain_id
        self._proofs: dict[str, FaultProof] = {}
        self.lost = 0
        """Proofs that found no space on the disk."""
        self.unreadable: list[Path] = []
        """Files here that aren't proofs: no reason not to vote, but somebody should look."""
        for path in sorted(directory.glob("*.json")) if directory.is_dir() else ():
            try:
                self._proofs[path.name] = parse_fault_proof(path.read_bytes())
            except InvalidBlock:
                self.unreadable.append(path)

    def __len__(self) -> int:
        return len(self._proofs)

    @property
    def files(self) -> tuple[Path, ...]:
        """Where the proofs lie."""
        return tuple(self._directory / name for name in self._proofs)

    def add(self, evidence: Evidence, changes: Sequence[ValidatorChange]) -> Path | None:
        """Write a proof durably; None if it is known, or one too many of its signer, or the disk is full. `changes` are those since genesis."""
        name = f"e{evidence.epoch}-h{evidence.height}-v{evidence.view}-{evidence.kind}-by-{evidence.signer}.json"
        of_signer = sum((proof.epoch, proof.signer) == (evidence.epoch, evidence.signer) for proof in self._proofs.values())
        if name in self._proofs or of_signer >= MOST_A_SIGNER:
            return None
        proof = FaultProof(
            fault_version=VERSION,
            chain_id=self._chain_id,
            kind=evidence.kind,
            epoch=evidence.epoch,
            view=evidence.view,
            height=evidence.height,
            signer=evidence.signer,
            first_digest=evidence.first_digest,
            first_signature=evidence.first_signature,
            second_digest=evidence.second_digest,
            second_signature=evidence.second_signature,
            validator_changes=tuple(changes),
        )
        return self._directory / name if self._write(name, proof) else None

    def set_changed(self, epoch: int, changes: Sequence[ValidatorChange]) -> None:
        """The change that leads to an epoch's set is known now: proofs of that epoch which came before it are written again with it."""
        for name, proof in list(self._proofs.items()):
            if proof.epoch >= epoch and proof.validator_changes != tuple(changes):
                self._write(name, replace(proof, validator_changes=tuple(changes)))

    def _write(self, name: str, proof: FaultProof) -> bool:
        try:
            self._directory.mkdir(exist_ok=True)
            write_durably(self._directory / name, proof.to_json())
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise
            self.lost += 1
            return False
        self._proofs[name] = proof
        return True
