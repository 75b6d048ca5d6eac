"""carbonnode: a permissioned blockchain node for carbon markets (IEEE Std 3218-2022)."""

__version__ = "0.1.0"
