"""What a run leaves behind, and how its arms are called, whoever carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from actors.plan import ArmPlan, CodecTerms
from costeer.errors import ConfigError
from costeer.padding import NO_PADDING
from experiments.scenario import Scenario


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run left behind.

    Args:
        run_dir: its directory.
        summary: what ``summary.json`` holds.
    """

    run_dir: Path
    summary: dict[str, Any]


def given_origins(scenario: Scenario) -> dict[str, str]:
    """Where figures are from that do not depend on the way."""
    bytes_origin = {
        "models": "measured",
        "recorded": "measured",
        "generated": "synthetic",
        "null": "declared",
    }
    if scenario.values == "profile":
        from experiments.profile.replay import open_profile  # noqa: PLC0415 - brings pyarrow in

        bytes_origin["profile"] = open_profile(scenario).origin.bytes_origin
    origins = {"bytes": bytes_origin[scenario.values], "links": "declared"}
    return origins | {"quality": "measured"} if scenario.values == "models" else origins


def arm_keys(scenario: Scenario, plan: ArmPlan, terms: CodecTerms, way: str) -> dict[str, str]:
    """Return what distinguishes an arm, as the tables name it."""
    steered = plan.arm.method.steered
    drafts = plan.speculation or plan.cloud_drafts
    return {
        "method": plan.arm.method.name,
        "speculation": drafts.label if drafts is not None else "",
        "codec": _codec(plan, terms) if steered else "",
        "strength": f"{plan.arm.strength:.4g}" if steered or plan.arm.method.guided else "",
        "refine": _refine(plan) if steered else "",
        "overlap": plan.arm.overlap.label if plan.arm.overlap is not None else "",
        "gate": plan.gate.label if plan.gate is not None else "",
        "way": way,
        "values": scenario.values,
    }


def _codec(plan: ArmPlan, terms: CodecTerms) -> str:
    padding = plan.padding
    if padding == NO_PADDING:
        return terms.name
    return f"{terms.name} in {padding.down_bytes}/{padding.up_bytes} B"


def _refine(plan: ArmPlan) -> str:
    config = plan.refine
    if config.max_rounds == 0:
        return "none"
    return f"x{config.growth}, {config.max_rounds} rounds, then {config.at_cap}"


def arm_title(keys: Mapping[str, str]) -> str:
    """Return what an arm is called while it runs."""
    return " ".join(
        keys[name] for name in ("method", "speculation", "gate", "codec", "way") if keys.get(name)
    )


def check_out_dir(out_dir: Path) -> None:
    """Find out early, before anything is started, whether a run can be written.

    Raises:
        ConfigError: it cannot.
    """
    if (out_dir / "manifest.json").exists():
        raise ConfigError(f"{out_dir}: holds a run already; choose another --out or remove it")
    nearest = out_dir
    while not nearest.exists():
        nearest = nearest.parent
    try:
        # Asking for permission is no answer: the super-user always has it, also where nothing
        # can be written.
        TemporaryFile(dir=nearest).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{out_dir}: cannot be written ({nearest}: {reason}); choose another --out"
        ) from error
