"""The study: n profiles ask the same questions, two observers guess whose session it was.

Every candidate asks every question, so that a question says nothing of who asks. Questions are
split: sessions of the first half teach the sizes-only observer, those of the second half are told
apart, by both. Where devices draft, the cloud is told their drafts as well, refuted ones included:
a small model's own words, with the context (or, `draft: generic`, without it). Runs are ordinary
ones, in simulated time, with the shipped pair and its held-out profiles; strength 0 is the control,
at which no token depends on a profile.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import AutoModelForCausalLM, PreTrainedModel

from actors.models.tokenizer import load_tokenizer
from experiments.evaluation.bootstrap import Interval, mean_interval
from experiments.hosting import NO_CLUSTER, open_laboratory
from experiments.pair.corpus import rows
from experiments.planning import plan_workload
from experiments.privacy.likelihood import CloudObserver, Drafts
from experiments.privacy.observers import F64, Traffic, features, hits, nearest_candidate
from experiments.progress import Progress
from experiments.results.run import load
from experiments.run import run_in
from experiments.scenario import Scenario, load_scenario

STRENGTHS = (0.0, 0.05, 0.1, 0.25, 0.476, 1.0, 1.783)
PADDED_STRENGTH = 1.783
PADDING = {"down_bytes": 512, "up_bytes": 64}
SIZES, PADDED, CLOUD = "sizes and times", "the same, padded", "the cloud, by likelihood"
PERSONAL = "the cloud, drafts included"
GENERIC = "the same, generic drafts"
DRAFTED_STRENGTHS = (0.0, 0.1, 1.783)
"""c at which devices draft as well, with the context and without."""
_DRAFTS = 4
_CODEC = "top64-bf16-packed"


@dataclass(frozen=True, slots=True)
class Sighting:
    """How often an observer was right.

    Args:
        observer: who.
        strength: c.
        accuracy: share of sessions whose candidate was named, with its 95 % interval.
        sessions: that were told apart.
    """

    observer: str
    strength: float
    accuracy: Interval
    sessions: int


@dataclass(frozen=True, slots=True)
class PrivacyStudy:
    """What was found.

    Args:
        candidates: n; chance is 1/n.
        sightings: per observer and strength.
        refuted_per_token: drafts that went up in vain, with the context and without it.
        frame_bytes: down and up per token at the padded strength: plain, then padded.
    """

    candidates: int
    sightings: tuple[Sighting, ...]
    refuted_per_token: tuple[float, float]
    frame_bytes: tuple[tuple[float, float], tuple[float, float]]


def study(
    candidates: int,
    questions: int,
    strengths: Sequence[float],
    progress: Progress,
    drafted: Sequence[float] = DRAFTED_STRENGTHS,
    *,
    max_new_tokens: int | None = None,
) -> PrivacyStudy:
    """Run every candidate's sessions at every strength, and let both observers guess.

    Args:
        candidates: profiles, at least 2.
        questions: asked by each; the first half teaches, at least 2.
        strengths: c of the curve.
        progress: told how it goes.
        drafted: c at which devices draft as well.
        max_new_tokens: of each answer; the demo's if None.
    """
    prompts = _prompts(candidates, questions)
    scenario = _scenario(candidates * questions, strengths, drafted, max_new_tokens)
    with tempfile.TemporaryDirectory(prefix="costeer-privacy-") as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in prompts), encoding="utf-8")
        scenario = scenario.model_copy(
            update={"workload": scenario.workload.model_copy(update={"prompts": str(path)})}
        )
        workload = plan_workload(scenario)
        with open_laboratory(scenario, NO_CLUSTER) as laboratory:
            run_in(laboratory, scenario, workload, Path(folder) / "run", progress)
        run = load(Path(folder) / "run")
    tokens = run.tokens.sort_values(["arm", "device", "position"])
    of_N = np.arange(candidates * questions) // questions
    asked_N = np.arange(candidates * questions) % questions >= questions // 2
    observer = CloudObserver(
        _reference(scenario.models.hosted_cloud("the observers' study").location),
        _reference(scenario.models.edge.location),
    )
    tokenizer = load_tokenizer(scenario.models.tokenizer_location)
    personal_N = [tuple(tokenizer.encode(row["personalized_input"])) for row in prompts]

    def told_apart(sessions: Sequence[pd.DataFrame], strength: float, *, personal: bool) -> F64:
        """Let the cloud name the candidate of each session that is asked."""
        likely = [
            observer.scores(
                workload.devices[device].requests[0].public,
                tuple(sessions[device]["token"]),
                [personal_N[one * questions + device % questions] for one in range(candidates)],
                strength,
                _drafts(sessions[device]) if personal else None,
            )
            for device in np.flatnonzero(asked_N).tolist()
        ]
        return hits(np.stack(likely), of_N[asked_N])

    found = []
    for arm, strength in enumerate((*strengths, PADDED_STRENGTH)):
        padded = arm == len(strengths)
        mine = tokens[tokens["arm"] == arm]
        sessions = [group for _, group in mine.groupby("device", sort=True)]
        seen_NF = np.stack([features(_traffic(session)) for session in sessions])
        scores = nearest_candidate(seen_NF[~asked_N], of_N[~asked_N], seen_NF[asked_N])
        right = hits(scores, of_N[asked_N])
        name = PADDED if padded else SIZES
        found.append(Sighting(name, strength, mean_interval(right), len(right)))
        if padded:
            continue
        right = told_apart(sessions, strength, personal=False)
        found.append(Sighting(CLOUD, strength, mean_interval(right), len(right)))
    refuted = []
    for kind, name in enumerate((PERSONAL, GENERIC)):
        first = len(strengths) + 1 + kind * len(drafted)
        for arm, strength in enumerate(drafted, start=first):
            mine = tokens[tokens["arm"] == arm]
            sessions = [group for _, group in mine.groupby("device", sort=True)]
            right = told_apart(sessions, strength, personal=name == PERSONAL)
            found.append(Sighting(name, strength, mean_interval(right), len(right)))
        refuted.append(float(mine["refuted_drafts"].mean()))
    cost = _padding_cost(tokens, strengths)
    return PrivacyStudy(candidates, tuple(found), (refuted[0], refuted[1]), cost)


def _drafts(session: pd.DataFrame) -> Drafts:
    """Return what the cloud was told of a session's drafts."""
    told = zip(session["position"], session["refuted_tokens"], strict=True)
    refuted = {int(at): tuple(int(token) for token in run) for at, run in told if len(run)}
    return Drafts(tuple(bool(right) for right in session["drafted"]), refuted)


def _prompts(candidates: int, questions: int) -> list[dict[str, str]]:
    """Every candidate's every question: profiles of the first rows, questions of the next ones."""
    known = rows("dev", candidates + questions)
    profiles = [
        row.personalized_input.removesuffix(row.input).strip() for row in known[:candidates]
    ]
    asked = [row.input for row in known[candidates:]]
    return [
        {
            "id": f"candidate-{who:02d}-question-{what:02d}",
            "input": question,
            "personalized_input": f"{profile} {question}",
            "output": "",
        }
        for who, profile in enumerate(profiles)
        for what, question in enumerate(asked)
    ]


def _scenario(
    sessions: int,
    strengths: Sequence[float],
    drafted: Sequence[float],
    max_new_tokens: int | None,
) -> Scenario:
    """The demo's hardware, one link, a device per session: nothing differs but the profile."""
    arms = [{"method": "costeer", "codec": _CODEC, "strength": strength} for strength in strengths]
    arms.append(
        {"method": "costeer", "codec": _CODEC, "strength": PADDED_STRENGTH, "padding": PADDING}
    )
    arms += [
        {"method": "costeer", "codec": _CODEC, "strength": strength, "speculation": drafts}
        for drafts in ({"drafts": _DRAFTS}, {"drafts": _DRAFTS, "draft": "generic"})
        for strength in drafted
    ]
    return load_scenario(
        "demo",
        [
            "name=privacy",
            f"fleet.devices={sessions}",
            "fleet.shards=1",
            "fleet.arrivals={kind: closed, think_s: 0.0, requests_per_device: 1}",
            "fleet.classes=[{share: 1.0, link: 4g-eu, hardware: phone-npu}]",
            f"arms={json.dumps(arms)}",
            *([] if max_new_tokens is None else [f"workload.max_new_tokens={max_new_tokens}"]),
        ],
    )


def _reference(folder: str) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    model.train(mode=False)
    return model


def _traffic(session: pd.DataFrame) -> Traffic:
    packets = session["packets_down"] + session["packets_up"]
    return Traffic(
        tuple(session["frame_bytes_down"].tolist()),
        tuple(session["frame_bytes_up"].tolist()),
        tuple(packets.tolist()),
        tuple(session["latency_ns"].tolist()),
    )


def _padding_cost(
    tokens: pd.DataFrame, strengths: Sequence[float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Mean frame bytes per token, (down, up), without and with padding at the same strength."""
    plain = list(strengths).index(PADDED_STRENGTH)
    columns = ["frame_bytes_down", "frame_bytes_up"]
    without, with_ = (
        tokens.loc[tokens["arm"] == arm, columns].mean() for arm in (plain, len(strengths))
    )
    return (float(without.iloc[0]), float(without.iloc[1])), (
        float(with_.iloc[0]),
        float(with_.iloc[1]),
    )
