"""Which machine runs a session at the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.drafting import DraftingSession
from costeer.edge import EdgeSession

if TYPE_CHECKING:
    from costeer.endpoint import Endpoint
    from costeer.session import SessionSpec


def device_machine(spec: SessionSpec) -> Endpoint:
    """Return the machine of a session, waiting for ``Start``.

    Raises:
        LocalProtocolError: its tokens are already chosen, all of them.
    """
    return DraftingSession(spec) if spec.speculation is not None else EdgeSession(spec)
