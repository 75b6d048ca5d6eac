"""The ledger: an ordered batch applied to the state, deterministically (design, sections 4, 5, 6, 8). PURE over a `chain.ports.KV`.

Public surface, by module:

- `results`: `ExecutedBlock` (header, kept transactions, receipts, events, salts), `StateProof`, `ViewResult`, `LedgerStatus`.
- `executor`: `BlockExecutor(kv, genesis, machine)`: `status()`, `execute(height, batch, transactions) -> ExecutedBlock`, `discard_above(height)`,
  `finalise(height)`, `query(contract, view, args, sender, height=None)`, `prove(key, height=None)`, `abi(name, height=None)`.
- `genesis_block`: block 0: contracts installed, init calls run.
- `state`: `WorkingState(kv)`: the VM's `StateAccess` over a KV with stacked uncertified blocks; `ReadState`: a view of certified state.
- `tree`, `tree_proof`: 16-ary sparse Merkle tree with batch update; inclusion and absence proofs, verified offline.
- `salts`: leaf salts of state, receipts and events.  `layout`: keys of the ledger's own data.
- `events`: audience and per-entity sequence.  `jobs`: scheduled calls.  `epochs`: parameters, validators, code that change at an epoch.
- `invariants`: conservation checks after every block.  `history`: undo records and states at past heights.  `access`: who may read what.
"""
