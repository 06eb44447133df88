"""The study: CoSteer, steering that pauses at several bounds, and drafts taken unsteered.

Ordinary runs in simulated time: the shipped pair, its held-out personas, one link, a device per
prompt. How far a text is from full CoSteer is told in two ways. Read back token by token: whether
each token is the one that steering chooses behind the same prefix, and KL(steered ‖ drawn from),
which is 0 where a token was steered. Where a draft might be taken unsteered, that is what the rule
draws from at a temperature of 1: a draft of the small model if it passes, else a steered token. And
as a whole: whether the text is another than CoSteer's.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from costeer.gate import GateConfig
from experiments.evaluation.bootstrap import Interval, mean_interval
from experiments.hosting import NO_CLUSTER, open_laboratory
from experiments.pair_limits import vocab_size_of
from experiments.planning import Workload, plan_workload
from experiments.progress import Progress
from experiments.results.run import Run, load
from experiments.run import run_in
from experiments.scenario import Scenario, load_scenario
from experiments.scoring.likelihood import PairReader, Text, text_of

REFERENCE = "costeer"
GATES = (
    GateConfig(),
    GateConfig(sure=0.02, unsure=0.1),
    GateConfig(sure=0.3, after=1, unsure=0.6),
    GateConfig(unsure=1),
)
"""The default; a careful one; a bold one; the authors', which never comes back."""
_CODEC = "top64-bf16-packed"


@dataclass(frozen=True, slots=True)
class Standing:
    """One arm over all prompts.

    Args:
        arm: its name in tables.
        unsteered: share of tokens: the cloud's own, or drafts that were taken as they were.
        frame_bytes_down: per token.
        wire_bytes: per token, both ways.
        tokens_per_s: of a stream.
        agreement: share of tokens that full CoSteer chooses behind the same prefix.
        kl_nats: per token, of what was drawn from, from full CoSteer.
        changed: texts that are not CoSteer's.
        rouge_l: with the references.
        fact_recall: of the facts that the large model alone knows.
        profile_recall: of the private context's.
    """

    arm: str
    unsteered: float
    frame_bytes_down: float
    wire_bytes: float
    tokens_per_s: float
    agreement: Interval
    kl_nats: Interval
    changed: int
    rouge_l: float
    fact_recall: float
    profile_recall: float


@dataclass(frozen=True, slots=True)
class PausingStudy:
    """What was found.

    Args:
        prompts: how many texts each arm wrote.
        standings: of each arm, the reference first.
    """

    prompts: int
    standings: tuple[Standing, ...]


def study(prompts: int, max_new_tokens: int, progress: Progress) -> PausingStudy:
    """Run every arm on the same prompts and read its texts back.

    Args:
        prompts: held-out rows, from the first.
        max_new_tokens: of each text.
        progress: told how it goes.
    """
    scenario = _scenario(prompts, max_new_tokens)
    workload = plan_workload(scenario)
    with tempfile.TemporaryDirectory(prefix="costeer-pausing-") as folder:
        with open_laboratory(scenario, NO_CLUSTER) as laboratory:
            run_in(laboratory, scenario, workload, Path(folder) / "run", progress)
        run = load(Path(folder) / "run")
    models = scenario.models
    reader = PairReader(models.hosted_cloud("evaluate gate"), models.edge, vocab_size_of(models))
    rows = [row for row in run.arms if row["link_class"] == "all"]
    return PausingStudy(
        prompts, tuple(_standing(run, row, scenario, workload, reader) for row in rows)
    )


def _scenario(prompts: int, max_new_tokens: int) -> Scenario:
    arms: list[dict[str, Any]] = [{"method": REFERENCE, "codec": _CODEC}]
    arms += [{"method": "adacosteer", "codec": _CODEC, "gate": each.model_dump()} for each in GATES]
    arms.append({"method": "specsteer", "codec": _CODEC})
    return load_scenario(
        "demo",
        [
            "name=gate",
            f"fleet.devices={prompts}",
            "fleet.shards=1",
            "fleet.arrivals={kind: closed, think_s: 0.0, requests_per_device: 1}",
            "fleet.classes=[{share: 1.0, link: 4g-eu, hardware: orin-agx}]",
            f"workload.limit={prompts}",
            f"workload.max_new_tokens={max_new_tokens}",
            f"arms={json.dumps(arms)}",
        ],
    )


def _standing(
    run: Run, row: Mapping[str, Any], scenario: Scenario, workload: Workload, reader: PairReader
) -> Standing:
    config = scenario.arms[row["arm"]]
    tokens = run.tokens[run.tokens["arm"] == row["arm"]].sort_values(["device", "position"])
    plain = run.tokens[run.tokens["arm"] == 0].sort_values(["device", "position"])
    theta = config.speculation.theta if config.speculation is not None else None
    unsteered = tokens["payload_bytes_down"] == 0 if theta is None else ~tokens["certified"]
    judged = tokens["drafted"].astype(bool) | (tokens["refuted_drafts"] > 0)
    strength = config.strength.c if config.strength is not None else 0.0
    agreement, kl_nats = [], []
    changed = 0
    for device, mine in tokens.groupby("device"):
        text = _text(workload, int(device), mine)
        if theta is None:
            found = reader.pauses(text, strength, ~unsteered[mine.index].to_numpy())
        else:
            found = reader.taken(text, strength, theta, ~judged[mine.index].to_numpy())
        agreement.append(found.agreement)
        kl_nats.append(found.kl_nats)
        theirs = plain.loc[plain["device"] == device, "token"]
        changed += list(mine["token"]) != list(theirs)
    name = row["method"] if config.gate is None else f"{row['method']}, {config.gate.label}"
    quality = row["quality"]
    return Standing(
        name,
        float(unsteered.mean()),
        row["frame_bytes_down_per_token"],
        row["wire_bytes_down_per_token"] + row["wire_bytes_up_per_token"],
        row["tokens_per_second"],
        mean_interval(np.array(agreement)),
        mean_interval(np.array(kl_nats)),
        changed,
        quality["rouge_l"]["mean"],
        quality["fact_recall"]["mean"],
        quality["profile_recall"]["mean"],
    )


def _text(workload: Workload, device: int, tokens: pd.DataFrame) -> Text:
    asked = workload.devices[device].requests[0]
    return text_of(asked.public, asked.personal, tokens["token"].to_numpy())
