"""Fixed codes of failures that the VM itself finds. A contract's own codes come from `abort` and `require`.

A receipt holds a code and never a text: texts differ between hosts and versions.
"""

from typing import Final

PREFIXES: Final = ("vm.", "chain.")
"""Contracts may not abort with a code that starts so: it is the VM's, or the ledger's."""

TYPE: Final = "vm.type"
OVERFLOW: Final = "vm.overflow"
ZERO_DIVISION: Final = "vm.zero-division"
KEY: Final = "vm.key"
INDEX: Final = "vm.index"
VALUE: Final = "vm.value"
UNBOUND: Final = "vm.unbound"
LIMIT: Final = "vm.limit"
ARGUMENTS: Final = "vm.arguments"
NO_CONTRACT: Final = "vm.no-contract"
NO_METHOD: Final = "vm.no-method"
VIEW_WRITE: Final = "vm.view-write"
REENTRANT: Final = "vm.reentrant"
CALL_DEPTH: Final = "vm.call-depth"
BAD_CODE: Final = "vm.bad-code"
OUT_OF_GAS: Final = "vm.out-of-gas"
REFUSED: Final = "vm.refused"

MEANING: Final[dict[str, str]] = {
    TYPE: "a value has another type than the operation, parameter or storage asks for (bool is not int)",
    OVERFLOW: "an integer left +-2^256",
    ZERO_DIVISION: "a division or remainder by zero",
    KEY: "a key isn't there",
    INDEX: "an index lies outside the list, tuple or text",
    VALUE: "a value can't be converted, unpacked or found",
    UNBOUND: "a name is used before it has a value",
    LIMIT: "a text, container, key or value is larger than the VM allows",
    ARGUMENTS: "the arguments don't fit the method's parameters",
    NO_CONTRACT: "no contract has this name",
    NO_METHOD: "the contract has no such method for this kind of call",
    VIEW_WRITE: "a view tried to write, emit or schedule",
    REENTRANT: "a contract that waits for this call was called again",
    CALL_DEPTH: "contracts call one another too deep",
    BAD_CODE: "an abort code isn't 1 to 64 printable ASCII characters, or starts with 'vm.' or 'chain.'",
    OUT_OF_GAS: "the gas limit was used up",
    REFUSED: "the contract's source is refused by the checker",
}
