"""What a node keeps on disk: LevelDB behind the KV protocol, the block store, the vote journal (design, section 4).

Public surface, by module:

- `datadir`: `create(path, chain_id)`, `DataDirectory.open(path, chain_id)`: identity of a data directory (chain id, engine) and its lock against
  a second process; sub-paths `blocks`, `state`, `journal`.
- `leveldb`: `create(path)`, `LevelKV.open(path)`: `chain.ports.KV` over plyvel, never created by opening.
- `blocks`: `BlockStore(kv)`: `put(StoredBlock)`, `block(height)`, `header(height)`, `certificate(height)`, `transaction(id)`, `height`, `verify_chain()`.
- `journal_format`: pure framing of journal segments: `encode_frame`, `scan` (the simulator uses it too).
- `journal`: `VoteJournal.open(path)`: `append(group)` durable on return, `records()`, `cut_below(height)`, `rewrite(height, records)`.
- `journal_writer`: `GroupCommit(journal)`: `await persist(height, record)`; one fdatasync for all that wait.
- `space`: `SpaceGuard(path, reserve_bytes)`: `check()` raises `DiskFull` while space is still reserved.
- `crashpoints`: `reach("persist.before")`: named points at which tests kill the process.
"""
