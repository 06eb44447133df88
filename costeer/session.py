"""What one session is to do, and what it asks of the cloud when it opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costeer.errors import LocalProtocolError
from costeer.messages import Open, Role
from costeer.methods import CloudRole, Method, Prompt

if TYPE_CHECKING:
    from costeer.overlap import OverlapConfig
    from costeer.patience import Patience
    from costeer.refinement import Ladder
    from costeer.speculation import SpeculationConfig

_ROLES = {
    CloudRole.LOGITS: Role.LOGITS,
    CloudRole.STREAM: Role.STREAM,
    CloudRole.GATED: Role.GATED,
    CloudRole.CHOICES: Role.CHOICES,
    CloudRole.GUIDED: Role.GUIDED,
}


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """What one session is to do.

    Args:
        session: id, unique in the run.
        method: who sees what and who chooses.
        public: prompt ids without the private context.
        personal: prompt ids with it.
        max_new_tokens: the most tokens to generate, resumed ones included.
        eos: ids that end a text.
        codec_fingerprint: of the codec that LOGITS come in.
        ladder: ranks per refinement round.
        round_trip_bytes: what the device's link could carry in a round trip; 0 where no starting k
            learns.
        bucket_bytes: frame sizes are multiples of this.
        speculation: how the device drafts; None: one exchange a token.
        overlap: what the device does while it waits; None: the small model's forward.
        own: the two prompts in the small model's ids; None where these are the cloud's.
        epoch: 0, and one more after each resumption.
        chosen: tokens that an earlier epoch chose.
        patience: how long the device waits for the cloud's answers; None: for ever.
        alone: an earlier epoch gave the cloud up: the device goes on by itself.
        kept: the small model still has in its memory what an earlier epoch had it read, and need
            not read it again: prompt and chosen tokens in the cloud's ids, and nothing else.
    """

    session: int
    method: Method
    public: tuple[int, ...]
    personal: tuple[int, ...]
    max_new_tokens: int
    eos: frozenset[int]
    codec_fingerprint: int
    ladder: Ladder
    epoch: int = 0
    chosen: tuple[int, ...] = ()
    round_trip_bytes: int = 0
    bucket_bytes: int = 1
    speculation: SpeculationConfig | None = None
    overlap: OverlapConfig | None = None
    own: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    patience: Patience | None = None
    alone: bool = False
    kept: bool = False

    def prompt(self, which: Prompt) -> tuple[int, ...]:
        """Return one of the two prompts, in the cloud's ids."""
        return self.public if which is Prompt.PUBLIC else self.personal

    def branch_prompt(self, which: Prompt) -> tuple[int, ...]:
        """Return one of the two prompts, in the small model's ids."""
        if self.own is None:
            return self.prompt(which)
        return self.own[0] if which is Prompt.PUBLIC else self.own[1]


def own_prompts(spec: SessionSpec) -> tuple[int, ...]:
    """Return how long the prompts of a device's branches are, where their ids are its model's own.

    Nothing where they are the cloud's; see ``EdgeForward``.
    """
    if spec.own is None:
        return ()
    return tuple(len(spec.branch_prompt(branch)) for branch in spec.method.edge_branches)


def open_body(spec: SessionSpec) -> Open:
    """Return what a session asks of the cloud.

    Raises:
        LocalProtocolError: it asks nothing of a cloud.
    """
    method = spec.method
    if method.cloud_prompt is None:
        raise LocalProtocolError(f"{method.name} opens no session at a cloud")
    return Open(
        role=_role(spec),
        max_new_tokens=spec.max_new_tokens,
        codec_fingerprint=spec.codec_fingerprint if method.steered else 0,
        prompt=spec.prompt(method.cloud_prompt),
        chosen=spec.chosen,
        round_trip_bytes=spec.round_trip_bytes if method.steered else 0,
        guide=() if method.guide is None else spec.prompt(method.guide),
    )


def _role(spec: SessionSpec) -> Role:
    drafts = spec.speculation is not None and spec.method.steered
    return Role.DRAFTS if drafts else _ROLES[spec.method.cloud]
