"""Law 4: everything that goes up, written down from public parts alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costeer.messages import (
    Frame,
    FrameKind,
    Open,
    Role,
    encode_frame,
    encode_open,
    encode_token,
)
from costeer.methods import CloudRole, Method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costeer.session import SessionSpec


@dataclass(frozen=True)
class PublicSession:
    """What anybody may know of a session: no private context, no logits, no Δ."""

    session: int
    epoch: int
    role: Role
    max_new_tokens: int
    codec_fingerprint: int
    prompt: tuple[int, ...]
    chosen_before: tuple[int, ...]


def public_part(spec: SessionSpec) -> PublicSession:
    """Cut a session down to what is public."""
    steered = spec.method.cloud is CloudRole.LOGITS
    return PublicSession(
        session=spec.session,
        epoch=spec.epoch,
        role=Role.LOGITS if steered else Role.STREAM,
        max_new_tokens=spec.max_new_tokens,
        codec_fingerprint=spec.codec_fingerprint if steered else 0,
        prompt=spec.public,
        chosen_before=spec.chosen,
    )


def rebuild_uplink(
    public: PublicSession, tokens: Sequence[int], mores: Sequence[int]
) -> list[bytes]:
    """Return every byte that a finished session sent up.

    Args:
        public: its public part.
        tokens: the tokens chosen in this epoch.
        mores: how often MORE was asked for at each of them.
    """
    first = len(public.chosen_before)

    def frame(kind: FrameKind, position: int, round_: int, body: bytes = b"") -> bytes:
        return encode_frame(Frame(kind, public.session, public.epoch, position, round_, body))

    asked = Open(
        public.role,
        public.max_new_tokens,
        public.codec_fingerprint,
        public.prompt,
        public.chosen_before,
    )
    frames = [frame(FrameKind.OPEN, first, 0, encode_open(asked))]
    if public.role is Role.STREAM:
        return frames
    for position, (token, count) in enumerate(zip(tokens, mores, strict=True), start=first):
        frames += [frame(FrameKind.MORE, position, round_ + 1) for round_ in range(count)]
        if position + 1 < first + len(tokens):
            frames.append(frame(FrameKind.TOKEN, position, count, encode_token(token)))
        else:
            frames.append(frame(FrameKind.CLOSE, position, count))
    return frames


def method_sends(method: Method) -> bool:
    """Whether anything of a method's goes up."""
    return method.cloud is not CloudRole.ABSENT
