"""Which machine runs a session at the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.drafting import DraftingSession
from costeer.edge import EdgeSession
from costeer.gated import GatedSession
from costeer.methods import CloudRole
from costeer.verified import VerifiedSession

if TYPE_CHECKING:
    from costeer.endpoint import Endpoint
    from costeer.session import SessionSpec


def device_machine(spec: SessionSpec) -> Endpoint:
    """Return the machine of a session, waiting for ``Start``.

    Raises:
        LocalProtocolError: its tokens are already chosen, all of them.
    """
    if spec.speculation is not None:
        return VerifiedSession(spec) if spec.method.verified else DraftingSession(spec)
    return GatedSession(spec) if spec.method.cloud is CloudRole.GATED else EdgeSession(spec)
