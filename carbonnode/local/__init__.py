"""Contracts on a state in memory: calculators, `contract run`, voucher codes, rule sets, and fixtures for contract authors.

- `chain`: `LocalChain`: the VM on a `MemoryState`, for tests and the calculators.
- `ruleset`: dated rule sets read from files, and the genesis calls that load them.
- `market`: a local chain with every shipped contract and a rule set.
- `calc`, `calc_inputs`: the calculators of `carbonnode calc`.  `vouchers`: parse and check codes.
- `contract_tools`: `contract check` and `contract run`.  `testing`: pytest fixtures.
"""
