"""The device's half of token-only speculation: it drafts, the cloud chooses, no logits come down.

As ``drafting``, but a row of ROWS is the token that the cloud chose behind the text so far. Nothing
is steered, so the text is the one that the cloud would have streamed; drafts only save round trips.
The small model follows the public branch alone: what goes up depends on nothing private.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer import device_text as text
from costeer.certificate import Choice
from costeer.draft_messages import decode_rows
from costeer.drafting import DraftingSession
from costeer.messages import Frame, FrameKind, decode_token

if TYPE_CHECKING:
    from costeer.machine import Command, FrameArrived


class VerifiedSession(DraftingSession):
    """One session at the device whose drafts the cloud judges by its own choice."""

    __slots__ = ()

    def _take(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if frame.kind is FrameKind.ROWS:
            for row in decode_rows(frame.body).rows:
                decode_token(row.payload)  # here, where what is no token ends the session
        return super()._take(frame, event, now_ns)

    def _decide(self, now_ns: int) -> list[Command]:
        state = self._state
        look = text.next_look(state, now_ns)
        if look == text.NOTHING:
            return []
        position = state[text.DECIDING]
        if look == text.DECODE:
            token = decode_token(self._rows.pop(position).payload)
            self._choices[position] = Choice(token, certified=True, margin=0.0)
            text.end_decode(state, 0)
            return self._decide(now_ns)
        return self._on_choice(position, 1, self._choices[position], now_ns)
