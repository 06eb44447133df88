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
    """

    name: str
    cloud: CloudRole
    cloud_prompt: Prompt | None
    edge_branches: tuple[Prompt, ...]
    default_strength: int | None = None
    drafts: SpeculationConfig | None = None

    @property
    def steered(self) -> bool:
        """Whether the device shifts the cloud's logits by c·Δ."""
        return self.cloud in {CloudRole.LOGITS, CloudRole.GATED}

    @property
    def gated(self) -> bool:
        """Whether steering pauses where the cloud is sure."""
        return self.cloud is CloudRole.GATED

    @property
    def streamed(self) -> bool:
        """Whether the cloud chooses and the device only listens."""
        return self.cloud is CloudRole.STREAM

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


def method_named(name: str) -> Method:
    """Return the method of that name.

    Args:
        name: one of ``METHODS`` or ``EXTENSIONS``, or ``package.module:NAME`` for a ``Method`` of
            one's own.

    Raises:
        ConfigError: there is none, or it asks for what no machine does.
    """
    if ":" in name:
        return _own(name)
    for method in METHODS + EXTENSIONS:
        if method.name == name:
            return method
    known = ", ".join(method.name for method in METHODS + EXTENSIONS)
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
    if (method.cloud is CloudRole.ABSENT) != (method.cloud_prompt is None):
        return "has a cloud_prompt exactly where it has a cloud"
    if method.steered and (method.edge_branches != _BOTH or method.default_strength is None):
        return "steers: it needs the public and the personal branch, and a default_strength"
    if method.streamed and method.edge_branches:
        return "streams: its device follows no branch"
    if method.verified and (method.edge_branches != (Prompt.PUBLIC,) or method.drafts is None):
        return "has its drafts verified: it needs the public branch alone, and drafts"
    if method.cloud is CloudRole.ABSENT and len(method.edge_branches) != 1:
        return "has no cloud: its device follows one branch"
    return ""
