"""Contract code: in the state with version and hash, compiled once per source (design, section 5)."""

from carbonnode.chain.hashing import blake2b_256
from carbonnode.errors import ContractError, InvariantViolation
from carbonnode.ledger.layout import code_key
from carbonnode.ledger.state import WorkingState
from carbonnode.vm.contract import Contract, compile_contract
from carbonnode.vm.state import ABSENT, Absent

_MAX_COMPILED = 256


class CompiledContracts:
    """Compiled contracts by name and source hash, shared by every view of the state."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, bytes], Contract] = {}

    def compiled(self, name: str, source_hash: bytes, source: bytes) -> Contract:
        """The contract of a source that lies in the state. Raises `ContractError` if the checker refuses it."""
        found = self._compiled.get((name, source_hash))
        if found is None:
            if len(self._compiled) >= _MAX_COMPILED:
                self._compiled.clear()
            found = self._compiled[name, source_hash] = compile_contract(name, source)
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

    def install(self, name: str, source: str) -> Contract:
        """Make `source` the contract's code, as the version after the present one. Raises `ContractError` if the checker refuses it."""
        raw = source.encode()
        contract = self._compiled.compiled(name, blake2b_256(raw), raw)
        key = code_key(name)
        present = self._state.get(key)
        version = present[0] + 1 if type(present) is tuple else 1
        self._state.put(key, (version, blake2b_256(raw), raw))
        return contract

    def verdict(self, name: str, source_hash: str, source: str) -> str:
        """Empty if the source can be installed under the name, else a stable code."""
        raw = source.encode()
        if blake2b_256(raw).hex() != source_hash:
            return "epoch.code-missing"
        if not name.isascii() or not name.isidentifier():
            return "epoch.code-name"
        try:
            self._compiled.compiled(name, blake2b_256(raw), raw)
        except ContractError:
            return "epoch.code-refused"
        return ""

    def resolve(self, name: str) -> Contract | None:
        """The contract of a name, None if there is none."""
        if not name.isascii():
            return None
        return contract_of(self._state.get(code_key(name)), name, self._compiled)

    def installed(self) -> list[str]:
        """Names of all contracts, sorted."""
        prefix = code_key("")
        names: list[str] = []
        key = self._state.next_key(prefix, None)
        while key is not None:
            if self._state.get(key) is not ABSENT:
                names.append(key[len(prefix) :].decode("ascii"))
            key = self._state.next_key(prefix, key)
        return names
