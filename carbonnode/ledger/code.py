"""Contract code: in the state with version and hash, compiled once per source (design, section 5)."""

from carbonnode.chain.hashing import blake2b_256
from carbonnode.errors import InvariantViolation
from carbonnode.ledger.layout import code_key, version_key
from carbonnode.ledger.state import WorkingState
from carbonnode.vm.contract import Contract, compile_contract
from carbonnode.vm.state import Absent

MAX_COMPILED_SOURCE = 768 * 1024
"""Bytes of source whose contracts are kept compiled (docs/adr/0024)."""


class CompiledContracts:
    """Compiled contracts by name and source hash, shared by every view of the state."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, bytes], Contract] = {}
        self._source = 0

    def compiled(self, name: str, source_hash: bytes, source: bytes) -> Contract:
        """The contract of a source that lies in the state. Raises `ContractError` if the checker refuses it."""
        found = self._compiled.get((name, source_hash))
        if found is None:
            if self._source + len(source) > MAX_COMPILED_SOURCE:
                self._compiled.clear()
                self._source = 0
            found = self._compiled[name, source_hash] = compile_contract(name, source)
            self._source += len(source)
        return found


def contract_of(stored: object, name: str, compiled: CompiledContracts) -> Contract | None:
    """The contract of a stored (version, source hash, source), None where nothing is stored."""
    if isinstance(stored, Absent):
        return None
    if type(stored) is not tuple or len(stored) != 3:
        raise InvariantViolation(f"the code of contract {name!r} in the state isn't (version, hash, source)")
    return compiled.compiled(name, stored[1], stored[2])


class ContractCode:
    """The code in the newest state: installs, and resolves names for the VM."""

    def __init__(self, state: WorkingState, compiled: CompiledContracts) -> None:
        self._state = state
        self._compiled = compiled

    def compiled(self, name: str, source: str) -> Contract:
        """The contract that a source makes. Raises `ContractError` if the checker refuses it."""
        raw = source.encode()
        return self._compiled.compiled(name, blake2b_256(raw), raw)

    def install(self, name: str, source: str) -> Contract:
        """Make `source` the contract's code, as the version after the present one, which stays at hand for a rollback.

        Raises `ContractError` if the checker refuses it.
        """
        contract = self.compiled(name, source)
        key = code_key(name)
        present = self._state.get(key)
        version = 1
        if type(present) is tuple:
            self._state.put(version_key(name, present[0]), present[1:])
            version = present[0] + 1
        self._state.put(key, (version, contract.source_hash, contract.source))
        return contract

    def version(self, name: str) -> int:
        """The number of the version in force, 0 where there is no such contract."""
        present = self._state.get(code_key(name))
        return present[0] if type(present) is tuple else 0

    def former(self, name: str, version: int) -> str | None:
        """The source of a version that was replaced, None if there was none of that number."""
        if not name.isascii() or not 0 < version < 1 << 62:
            return None
        stored = self._state.get(version_key(name, version))
        return stored[1].decode() if type(stored) is tuple else None

    def resolve(self, name: str) -> Contract | None:
        """The contract of a name, None if there is none."""
        if not name.isascii():
            return None
        return contract_of(self._state.get(code_key(name)), name, self._compiled)
