"""Load: open-loop orders against a real network, and the time to fail over. Run by `scripts/bench.py`."""
