"""Which slots of a hosted model's cache belong to which session."""

from __future__ import annotations

from actors.models.forward import HostedModel
from costeer.errors import LocalProtocolError


class Sequences:
    """A model whose slots are kept by session, one slot per branch."""

    def __init__(self, model: HostedModel) -> None:
        """Begin with no session."""
        self.model = model
        self._slots: dict[int, list[int]] = {}

    def slots(self, session: int, branches: int) -> list[int]:
        """Return a session's slots, taken now if it has none.

        Raises:
            LocalProtocolError: it has another number of them.
        """
        slots = self._slots.get(session)
        if slots is None:
            slots = [self.model.cache.take() for _ in range(branches)]
            self._slots[session] = slots
        if len(slots) != branches:
            raise LocalProtocolError(
                f"session {session}: has {len(slots)} branches, a forward names {branches}"
            )
        return slots

    def release(self, session: int) -> None:
        """Free a session's slots; one that never ran has none."""
        for slot in self._slots.pop(session, []):
            self.model.cache.free(slot)

    def release_all(self) -> None:
        """Free every slot."""
        for session in list(self._slots):
            self.release(session)
