"""What an arm cannot be where a scenario's models, values or memory are not made for it."""

from __future__ import annotations

from collections.abc import Iterator

from actors.plan import ArmPlan
from experiments.scenario import AlignedBytes, OpenAiModel, Scenario


def misfits(scenario: Scenario, plan: ArmPlan) -> Iterator[tuple[bool, str]]:
    """Yield every rule: whether an arm breaks it, and what is said then."""
    method, drafts = plan.arm.method, plan.speculation
    of_models = scenario.values == "models"
    openai = of_models and isinstance(scenario.models.cloud, OpenAiModel)
    aligned = of_models and scenario.models.aligned
    yield (
        openai and method.guided,
        (
            f"arms: {method.name} combines whole rows of two prompts, and models.cloud of kind:"
            " openai tells of its best tokens alone; choose kind: hf"
        ),
    )
    yield (
        openai and drafts is not None,
        (
            "arms: speculation needs a cloud that keeps a cache; models.cloud of kind: openai has"
            " none, leave it out or choose kind: hf"
        ),
    )
    yield (
        aligned and plan.arm.beside,
        (
            "arms: cloud_drafts of kind: model are the small model's tokens, which models.alignment"
            " says are not the large one's; choose kind: lookup, or a pair with one vocabulary"
        ),
    )
    yield (
        (drafts or plan.cloud_drafts) is not None and plan.limits.preempts,
        (
            "cloud.when_full: preempt takes a session's cache away, and drafts (speculation,"
            " cloud_drafts) keep rows in it; choose queue or reject, or leave them out"
        ),
    )
    yield (
        method.guided and plan.limits.preempts,
        (
            f"cloud.when_full: preempt takes a session's cache away, and {method.name} keeps two;"
            " choose queue or reject"
        ),
    )
    yield (
        method.contrasts and scenario.values in {"recorded", "generated"},
        (
            f"arms: {method.name} needs the small model's own log-probabilities; choose values:"
            " models, or null or a profile"
        ),
    )
    yield (
        method.contrasts and aligned and not isinstance(scenario.models.alignment, AlignedBytes),
        (
            f"arms: {method.name} weighs every token by the small model's own probability, and of"
            " tokens outside an intersection there is none; choose models.alignment: {kind: bytes}"
        ),
    )
    yield (
        drafts is not None
        and drafts.theta is not None
        and scenario.values in {"recorded", "generated"},
        (
            "arms: speculation.theta compares two models' probabilities, which values:"
            f" {scenario.values} does not have; leave it out, or choose values: models, or null or"
            " a profile"
        ),
    )
    yield (
        plan.gate is not None and openai,
        (
            f"arms: {method.name} asks how sure the cloud is of each token, which a model of kind:"
            " openai cannot tell; choose kind: hf"
        ),
    )
    yield (
        plan.cloud_drafts is not None and openai,
        (
            "arms: cloud_drafts are verified by a model's forward, which a model of kind: openai"
            " does not have; leave it out, or choose kind: hf"
        ),
    )
