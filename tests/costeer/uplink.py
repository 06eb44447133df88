"""Law 4: everything that goes up, written down from public parts alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costeer.draft_messages import decode_draft, decode_version, encode_draft, encode_version
from costeer.messages import (
    Frame,
    FrameKind,
    Open,
    Role,
    decode_frame,
    encode_frame,
    encode_open,
    encode_token,
)
from costeer.methods import CloudRole, Method
from tests.costeer.toy import own_tokens

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
    steered = spec.method.steered
    return PublicSession(
        session=spec.session,
        epoch=spec.epoch,
        role=_role(spec),
        max_new_tokens=spec.max_new_tokens,
        codec_fingerprint=spec.codec_fingerprint if steered else 0,
        prompt=spec.public,
        chosen_before=spec.chosen,
    )


def _role(spec: SessionSpec) -> Role:
    if spec.method.verified:
        return Role.CHOICES
    if spec.speculation is not None:
        return Role.DRAFTS
    return Role.GATED if spec.method.gated else Role.LOGITS if spec.method.steered else Role.STREAM


def rebuild_drafting_uplink(
    public: PublicSession, tokens: Sequence[int], sent: Sequence[bytes]
) -> list[bytes]:
    """Return every byte that a finished session with drafts sent up.

    Which drafts were told, and for which rows more was asked and in what order, is a fact of its
    own and read from what was sent; everything else of the frames is made up again without it.

    Args:
        public: its public part.
        tokens: the tokens chosen in this epoch.
        sent: what it sent.
    """
    first = len(public.chosen_before)
    version = 0
    rounds: dict[tuple[int, int], int] = {}

    def frame(kind: FrameKind, position: int, round_: int, body: bytes = b"") -> bytes:
        return encode_frame(Frame(kind, public.session, public.epoch, position, round_, body))

    frames = [frame(FrameKind.OPEN, first, 0, encode_open(_asked(public)))]
    for told in map(decode_frame, sent[1:-1]):
        if told.kind is FrameKind.DRAFT:
            version += 1
            drafts = decode_draft(told.body)[1:]
            body = encode_draft((tokens[told.position - first], *drafts))
            frames.append(frame(FrameKind.DRAFT, told.position, version, body))
        else:
            row = told.position, decode_version(told.body)
            rounds[row] = rounds.get(row, 0) + 1
            frames.append(frame(FrameKind.REFINE, row[0], rounds[row], encode_version(row[1])))
    return [*frames, frame(FrameKind.CLOSE, first + len(tokens) - 1, 0)]


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
    # Which tokens the cloud chose by itself it knows, and so does anybody who has its model.
    own = own_tokens(public.prompt, (*public.chosen_before, *tokens))

    def frame(kind: FrameKind, position: int, round_: int, body: bytes = b"") -> bytes:
        return encode_frame(Frame(kind, public.session, public.epoch, position, round_, body))

    frames = [frame(FrameKind.OPEN, first, 0, encode_open(_asked(public)))]
    if public.role is Role.STREAM:
        return frames
    for position, (token, count) in enumerate(zip(tokens, mores, strict=True), start=first):
        if public.role is Role.GATED and own[position]:
            continue
        frames += [frame(FrameKind.MORE, position, round_ + 1) for round_ in range(count)]
        if position + 1 < first + len(tokens):
            frames.append(frame(FrameKind.TOKEN, position, count, encode_token(token)))
        else:
            frames.append(frame(FrameKind.CLOSE, position, count))
    return frames


def _asked(public: PublicSession) -> Open:
    return Open(
        public.role,
        public.max_new_tokens,
        public.codec_fingerprint,
        public.prompt,
        public.chosen_before,
    )


def method_sends(method: Method) -> bool:
    """Whether anything of a method's goes up."""
    return method.cloud is not CloudRole.ABSENT
