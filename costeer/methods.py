"""The methods as data: which party sees which prompt, who chooses, what crosses.

Nothing elsewhere branches on a method's name; the machines read these fields.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from enum import Enum

from costeer.errors import ConfigError
from costeer.speculation import SpeculationConfig


class Prompt(Enum):
    """A prompt that a party may hold."""

    PUBLIC = "public"
    """The query without the private context."""
    PERSONAL = "personal"
    """The complete prompt, private context included."""


class CloudRole(Enum):
    """What the cloud does in a session."""

    ABSENT = "absent"
    """Nothing crosses the network."""
    LOGITS = "logits"
    """Sends logits down and waits for the chosen token: one round trip a token."""
    STREAM = "stream"
    """Chooses by itself and streams tokens down."""
    GATED = "gated"
    """As ``LOGITS``, but streams the tokens of which it is sure."""
    CHOICES = "choices"
    """Chooses behind every token that the device drafts, and says what."""
    GUIDED = "guided"
    """As ``STREAM``, from its logits for two prompts: by what the second lacks."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to decode.

    Args:
        name: the name in scenarios, tables and metrics.
        cloud: the cloud's role.
        cloud_prompt: what the cloud is sent; None where it is absent.
        edge_branches: the prompts that the device's small model follows, in the order in which
            their rows stand in its batch: the public branch first where both are there.
        default_strength: T of the steering recurrence used when a scenario gives no strength
            (20 in the paper's CoSteer, 1 in its eq. 8); None where nothing is steered.
        drafts: how devices draft where a scenario says nothing else; None: not at all.
        default_c: the strength used when a scenario gives none, where it is no number of steps.
        guide: the second prompt of a guided cloud.
        floor: least share of the best token's probability, at the cloud, that a token must have to
            be chosen; None: any may be.
    """

    name: str
    cloud: CloudRole
    cloud_prompt: Prompt | None
    edge_branches: tuple[Prompt, ...]
    default_strength: int | None = None
    drafts: SpeculationConfig | None = None
    default_c: float | None = None
    floor: float | None = None
    guide: Prompt | None = None

    @property
    def steered(self) -> bool:
        """Whether the device shifts the cloud's logits by c·Δ."""
        return self.cloud is CloudRole.LOGITS or self.cloud is CloudRole.GATED

    @property
    def gated(self) -> bool:
        """Whether steering pauses where the cloud is sure."""
        return self.cloud is CloudRole.GATED

    @property
    def streamed(self) -> bool:
        """Whether the cloud chooses and the device only listens."""
        return self.cloud is CloudRole.STREAM or self.cloud is CloudRole.GUIDED

    @property
    def guided(self) -> bool:
        """Whether the cloud chooses from two prompts' logits."""
        return self.cloud is CloudRole.GUIDED

    @property
    def contrasts(self) -> bool:
        """Whether Δ is −log P of the small model, without any context: what it knows as well."""
        return self.steered and len(self.edge_branches) == 1

    def weight(self, c: float) -> float:
        """Return what Δ is multiplied by beside logits of weight 1.

        Contrastive decoding's (1+β) log P_L − β log P_S is that of log P_L − β/(1+β) log P_S.
        """
        return c / (1.0 + c) if self.contrasts else c

    @property
    def context_at(self) -> str:
        """Where the private context has to be: ``cloud``, ``device`` or ``nowhere``."""
        if self.leaks_context:
            return "cloud"
        return "device" if Prompt.PERSONAL in self.edge_branches else "nowhere"

    @property
    def verified(self) -> bool:
        """Whether the device drafts and the cloud chooses."""
        return self.cloud is CloudRole.CHOICES

    @property
    def leaks_context(self) -> bool:
        """Whether the private context itself is sent to the cloud."""
        return self.cloud_prompt is Prompt.PERSONAL


_BOTH = (Prompt.PUBLIC, Prompt.PERSONAL)

METHODS: tuple[Method, ...] = (
    Method("slm_without", CloudRole.ABSENT, None, (Prompt.PUBLIC,)),
    Method("slm_with", CloudRole.ABSENT, None, (Prompt.PERSONAL,)),
    Method("llm_without", CloudRole.STREAM, Prompt.PUBLIC, ()),
    Method("llm_with", CloudRole.STREAM, Prompt.PERSONAL, ()),
    Method("light_costeer", CloudRole.LOGITS, Prompt.PUBLIC, _BOTH, default_strength=1),
    Method("costeer", CloudRole.LOGITS, Prompt.PUBLIC, _BOTH, default_strength=20),
)
"""The six settings of the paper's Tables 1 and 2."""

EXTENSIONS: tuple[Method, ...] = (
    Method(
        "specsteer",
        CloudRole.LOGITS,
        Prompt.PUBLIC,
        _BOTH,
        default_strength=20,
        drafts=SpeculationConfig(drafts=4, theta=0.1),
    ),
    Method("adacosteer", CloudRole.GATED, Prompt.PUBLIC, _BOTH, default_strength=20),
    Method(
        "token_speculation",
        CloudRole.CHOICES,
        Prompt.PUBLIC,
        (Prompt.PUBLIC,),
        drafts=SpeculationConfig(drafts=4, draft="generic"),
    ),
)
"""What the same authors made of it later: drafts that may stay unsteered (arXiv 2603.16219), and
steering that pauses where the cloud is sure. And, for comparison, plain text of the large model
whose drafts a device makes and the cloud verifies, token by token, without any logits."""


FLOOR = 0.1
"""α of the plausibility constraint of contrastive decoding (arXiv 2210.15097, 2309.09117)."""

NEIGHBOURS: tuple[Method, ...] = (
    Method("proxy_tuning", CloudRole.LOGITS, Prompt.PUBLIC, _BOTH, default_c=1.0),
    Method(
        "costeer_floor", CloudRole.LOGITS, Prompt.PUBLIC, _BOTH, default_strength=20, floor=FLOOR
    ),
    Method(
        "contrastive",
        CloudRole.LOGITS,
        Prompt.PUBLIC,
        (Prompt.PUBLIC,),
        default_c=0.5,
        floor=FLOOR,
    ),
    Method(
        "context_steering",
        CloudRole.GUIDED,
        Prompt.PERSONAL,
        (),
        default_c=0.5,
        guide=Prompt.PUBLIC,
    ),
)
"""What others combine two models by, on the same protocol; ``docs/baselines.md`` has the formulas.

Proxy tuning's form (arXiv 2401.08565) is CoSteer at c = 1. Contrastive decoding (arXiv 2309.09117)
has no private context at all; its strength is the paper's β. Context steering (arXiv 2405.01768) is
of one model that reads both prompts, so the context is sent to it; its strength is its paper's λ.
"""

ALL = METHODS + EXTENSIONS + NEIGHBOURS
"""Every method that has a name."""


def method_named(name: str) -> Method:
    """Return the method of that name.

    Args:
        name: one of ``ALL``, or ``package.module:NAME`` for a ``Method`` of
            one's own.

    Raises:
        ConfigError: there is none, or it asks for what no machine does.
    """
    if ":" in name:
        return _own(name)
    for method in ALL:
        if method.name == name:
            return method
    known = ", ".join(method.name for method in ALL)
    raise ConfigError(f"method: {name!r} is not known; choose one of {known}")


def _own(path: str) -> Method:
    module_name, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"method: {path!r} cannot be imported: {error}") from error
    if not isinstance(found, Method):
        raise ConfigError(f"method: {path!r} is no costeer.methods.Method")
    problem = _problem(found)
    if problem:
        raise ConfigError(f"method: {path!r} {problem}")
    return found


def _problem(method: Method) -> str:
    """Say what no machine can do with a method; nothing where all is well."""
    branches = method.edge_branches
    wrong = {
        "has a cloud_prompt exactly where it has a cloud": (
            (method.cloud is CloudRole.ABSENT) != (method.cloud_prompt is None)
        ),
        "has a guide exactly where its cloud is guided": (method.guided is (method.guide is None)),
        "steers: it needs the public and the personal branch, or the public one to contrast with": (
            method.steered and branches not in {_BOTH, (Prompt.PUBLIC,)}
        ),
        "steers: it needs a default_strength or a default_c": (
            method.steered and (method.default_strength is None) == (method.default_c is None)
        ),
        "streams: its device follows no branch": method.streamed and bool(branches),
        "has its drafts verified: it needs the public branch alone, and drafts": (
            method.verified and (branches != (Prompt.PUBLIC,) or method.drafts is None)
        ),
        "has no cloud: its device follows one branch": (
            method.cloud is CloudRole.ABSENT and len(branches) != 1
        ),
    }
    return next((says for says, holds in wrong.items() if holds), "")
