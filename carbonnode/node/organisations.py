"""Which organisation a key acts for: asked from the contract `identity`, kept until an event of it says that something changed."""

from carbonnode.chain.event import Event
from carbonnode.chain.receipt import Status
from carbonnode.chain.values import from_wire
from carbonnode.node.ports import ExecutorPort

CONTRACT, VIEW = "identity", "whoami"
"""`whoami() -> (entity, organisation, rights, roles)` of the asking key."""
MAX_CACHED = 100_000


class Organisations:
    """A cache in front of the view. Keys that no entity registered belong to "", and are asked again after every block that changed identities."""

    def __init__(self, executor: ExecutorPort) -> None:
        self._executor = executor
        self._known: dict[bytes, str] = {}
        self.roles: dict[bytes, int] = {}
        """Role masks of the keys asked for."""

    async def of(self, key: bytes) -> str:
        """The organisation, "" if none."""
        found = self._known.get(key)
        if found is not None:
            return found
        result = await self._executor.query(CONTRACT, VIEW, (), key)
        organisation, roles = "", 0
        value = from_wire(result.value) if result.status == Status.OK else None
        if isinstance(value, tuple) and len(value) >= 4 and isinstance(value[1], str) and isinstance(value[3], int):
            organisation, roles = value[1], value[3]
        if len(self._known) >= MAX_CACHED:
            self.forget()
        self._known[key] = organisation
        self.roles[key] = roles
        return organisation

    def forget(self) -> None:
        """Ask anew from now on."""
        self._known.clear()
        self.roles.clear()

    def block_final(self, events: tuple[Event, ...]) -> None:
        """Forget what a certified block may have changed."""
        if any(event.contract == CONTRACT for event in events):
            self.forget()
