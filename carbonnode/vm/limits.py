"""Every limit of the dialect, in one place (design, section 5). A change of any of them is a new protocol version."""

from typing import Final

# Source, before anything is parsed.
MAX_SOURCE_BYTES: Final = 64 * 1024
MAX_TOKENS: Final = 20_000
MAX_INTEGER_DIGITS: Final = 80
MAX_STRING_TOKEN: Final = 4096
MAX_NAME_LENGTH: Final = 64
MAX_INDENT_DEPTH: Final = 20
MAX_BRACKET_DEPTH: Final = 32
MAX_CHAIN: Final = 64
"""Operators, calls and subscripts that may follow one another without a separator: each nests the tree one deeper."""

# Tree and program.
MAX_AST_DEPTH: Final = 64
MAX_LOOP_DEPTH: Final = 8
MAX_COMPREHENSION_DEPTH: Final = 2
"""Each is a frame of its own on some versions of CPython, and frames are what `RecursionError` counts."""
MAX_FUNCTIONS: Final = 512
MAX_PARAMETERS: Final = 16
MAX_CALL_CHAIN: Final = 24
"""Functions of one contract that may call one another in a row."""
MAX_KEY_PARTS: Final = 8

# Values while a contract runs.
INT_BITS: Final = 256
INT_LIMIT: Final = 1 << INT_BITS
MAX_TEXT_BYTES: Final = 4096
"""UTF-8 bytes of a text, and bytes of a bytes value."""
MAX_CONTAINER: Final = 4096
MAX_DICT_INT_KEY: Final = (1 << 61) - 2
MAX_VALUE_DEPTH: Final = 2
"""Levels of tuples in a value that is stored, passed, returned or scheduled."""
MAX_VALUE_ITEMS: Final = 4096
"""Scalars, in all, in such a value."""
MAX_RESULT_TEXT: Final = 16 * MAX_TEXT_BYTES
"""Characters and bytes, in all, of a result that a receipt holds."""
MAX_KEY_BYTES: Final = 512
"""Encoded length of all parts of a storage key."""

# Calls.
MAX_CALL_DEPTH: Final = 8
MAX_EVENTS: Final = 1024
"""Events of one transaction."""
MAX_EVENT_FIELDS: Final = 32
MAX_SCHEDULED: Final = 64
"""Jobs that one transaction may schedule."""
MAX_CODE_LENGTH: Final = 64
MAX_CONTRACT_NAME: Final = 64
