"""The contract VM: a closed dialect of Python, checked, metered, guarded and run on CPython (design, section 5). PURE.

Public surface, by module:

- `checker`: `check(source) -> CheckReport(ok, errors)`; a `Diagnostic` names line, column, rule and what to write instead.
- `contract`: `compile_contract(name, source) -> Contract` (raises `ContractRefused`); `.abi` lists exports, views, init with parameters.
- `machine`: `Machine(schedule).execute/view/init(...) -> Outcome`.
- `state`: `StateAccess` (what the ledger gives), `ABSENT`, `Environment`; `outcome`: `Outcome`, `EmittedEvent`, `ScheduledCall`.
- `memory_state`: `MemoryState`, a `StateAccess` in memory for tests and the calculators.
- `keys`: `storage_key(contract, storage, parts)`, `storage_prefix`, `decode_parts`: the order-preserving addresses of stored values.
- `gas`: `GasSchedule`, `SCHEDULES` by version.  `limits`: every limit of the dialect.  `codes`: the fixed codes of failures.
- `fixed`: exact fixed-point arithmetic with named rounding.

The chain inside: `lexer` (token limits before anything is parsed) -> `checker` (whitelist over the AST) -> `types` (static types of
locals) -> `rewriter` (gas and guards) -> `linker` (functions bound to one machine's gas cell) -> `machine`.
"""
