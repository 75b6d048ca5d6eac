"""The Python SDK: sign, submit, wait, query, follow events, verify proofs.

```
async with Client("http://127.0.0.1:27001", signer=KeySigner(seed)) as client:
    done = await client.call("matching", "place", "CEA-2024", "B", 6196, 10, "my-ref")
    print(done.outcome, done.code, done.values)
```

Errors: `carbonnode.errors.RemoteError`, with the node's stable `code` where it refused (then it is a `NodeRefusal`), `unreachable` where no
node answers, `timeout` where a transaction wasn't settled in time.
"""

from carbonnode.client.client import Client
from carbonnode.client.gas import DEFAULT_GAS, EstimateInfo, GasChoice
from carbonnode.client.transport import NodeRefusal
from carbonnode.client.types import BlockInfo, EventInfo, NodeInfo, QueryAnswer, Submission, TransactionInfo
from carbonnode.errors import RemoteError

__all__ = [
    "DEFAULT_GAS",
    "BlockInfo",
    "Client",
    "EstimateInfo",
    "EventInfo",
    "GasChoice",
    "NodeInfo",
    "NodeRefusal",
    "QueryAnswer",
    "RemoteError",
    "Submission",
    "TransactionInfo",
]
