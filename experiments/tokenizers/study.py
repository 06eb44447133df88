"""CoSteer with one vocabulary, with the tokens that two share, and by bytes, on the same prompts.

Two measurements. *Runs*: each way writes its own texts, over links, with bytes and speed. *Along
the reference's text*: at every token that CoSteer with one vocabulary wrote, each way's Δ on the
same prefix; agreement is the share of tokens that it would have chosen too, and KL how far its
steered distribution is from the reference's. The two small models were trained apart, so no way of
aligning gives agreement 1: a floor for what another small model alone changes is not measured.

Legend: V the cloud's vocabulary, T tokens of a text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from actors.models.forward import HostedModel
from actors.models.loading import load as load_model
from actors.plan import Request
from actors.values.model_edge import ModelEdgeHost
from costeer.errors import LocalProtocolError
from costeer.machine import EdgeForward, Release
from costeer.methods import Prompt
from costeer.steering import decision_scores, log_softmax
from experiments.evaluation.bootstrap import Interval, mean_interval
from experiments.host_makers import host_makers
from experiments.hosting import NO_CLUSTER, open_laboratory
from experiments.pair_limits import vocab_sizes
from experiments.paper.running import scenario_of
from experiments.paper.tasks import Task, shipped_task
from experiments.planning import Workload, plan_workload
from experiments.planning.arms import arm_spec
from experiments.progress import Progress
from experiments.results.labels import whole_arms
from experiments.results.run import Run, load
from experiments.run import run_in
from experiments.scenario import ArmConfig, Scenario
from experiments.workload import count_rows

F64 = npt.NDArray[np.float64]

OTHER = "pair/slm-other"
"""The shipped small model of another tokenizer."""

STEERED = ("light_costeer", "costeer")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to bring two vocabularies together.

    Args:
        key: in data and names of runs.
        title: in tables.
        alignment: for ``models.alignment``; None where the small model is the reference's.
        methods: what runs.
    """

    key: str
    title: str
    alignment: Mapping[str, Any] | None
    methods: tuple[str, ...]


WAYS = (
    Way("same", "one vocabulary", None, ("slm_with", "llm_without", *STEERED, "llm_with")),
    Way("intersection", "intersection", {"kind": "intersection"}, ("slm_with", *STEERED)),
    Way("bytes-0", "bytes, no look ahead", {"kind": "bytes", "depth": 0}, STEERED),
    Way("bytes-1", "bytes, 1 token ahead", {"kind": "bytes", "depth": 1}, STEERED),
    Way("bytes-2", "bytes, 2 tokens ahead", {"kind": "bytes", "depth": 2}, STEERED),
)
"""The first is the reference."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One method under one way.

    Args:
        way: its title.
        method: whose texts.
        rouge_l: over prompts.
        profile_recall: the same.
        fact_recall: the same.
        agreement: with CoSteer of one vocabulary, along its text; None where nothing is steered.
        kl_nats: of the steered distributions there, nats.
        bytes_down: frame bytes down per token.
        bytes_up: frame bytes up per token.
        tokens_per_second: of a stream, simulated.
        certified: share of the tokens that are proved to be the whole vocabulary's choice.
    """

    way: str
    method: str
    rouge_l: Interval
    profile_recall: Interval
    fact_recall: Interval
    agreement: Interval | None
    kl_nats: Interval | None
    bytes_down: float
    bytes_up: float
    tokens_per_second: float
    certified: float | None


def compare_tokenizers(
    base: Scenario, limit: int, out: Path, progress: Progress, other: str = OTHER
) -> list[Standing]:
    """Run every way on the same prompts, then walk along the reference's texts.

    Args:
        base: the pair of one vocabulary, its fleet and links.
        limit: prompts, from the first.
        out: an existing directory for the runs.
        progress: told of ways, arms and tokens.
        other: the small model of another tokenizer.

    Raises:
        ConfigError: a model cannot be had, or its tokens' bytes are not known.
    """
    found: list[Standing] = []
    reference: _Reference | None = None
    for way in WAYS:
        progress.note(f"tokenizers: {way.title}")
        scenario = _scenario(base, way, limit, other)
        workload = plan_workload(scenario)
        folder = out / way.key
        with open_laboratory(scenario, NO_CLUSTER) as laboratory:
            run_in(laboratory, scenario, workload, folder, progress)
        run = load(folder)
        if reference is None:
            reference = _Reference(scenario, workload, run)
        found += _standings(way, scenario, workload, run, reference)
    return found


def _scenario(base: Scenario, way: Way, limit: int, other: str) -> Scenario:
    task: Task = shipped_task()
    one = scenario_of(base, task, way.methods, count_rows(task.prompts), limit)
    changed: dict[str, Any] = one.model_dump(mode="json")
    changed["name"] = f"{one.name}-{way.key}"
    if way.alignment is not None:
        changed["models"]["edge"]["path"] = other
        changed["models"]["alignment"] = dict(way.alignment)
    return Scenario.model_validate(changed)


class _Reference:
    """CoSteer of one vocabulary: its texts, the cloud's logits along them, and its own Δ."""

    def __init__(self, scenario: Scenario, workload: Workload, run: Run) -> None:
        models = scenario.models
        cloud = models.hosted_cloud("comparing tokenizers")
        size, _ = vocab_sizes(models)
        model = load_model(cloud.location, models.numerics, vocab_size=size, options=cloud.options)
        self.texts = {method: _texts(run, scenario, method) for method in STEERED}
        requests = requests_of(workload)
        self._logits = {
            method: [_along(model, requests[key].public, text) for key, text in texts.items()]
            for method, texts in self.texts.items()
        }
        self._delta = {method: self.deltas(scenario, workload, method) for method in STEERED}

    def deltas(self, scenario: Scenario, workload: Workload, method: str) -> list[F64]:
        """Δ_TV along each text, by the small model of a scenario."""
        host = host_makers(scenario)[1]()
        if not isinstance(host, ModelEdgeHost):
            raise LocalProtocolError("tokenizers: the scenario's values are not of models")
        host.begin_arm(arm_spec(scenario, _arm(scenario, method)))
        asked = requests_of(workload)
        return [
            np.stack(list(_walk(host, asked[key], text)))
            for key, text in self.texts[method].items()
        ]

    def compared(
        self, scenario: Scenario, workload: Workload, method: str
    ) -> tuple[Interval, Interval]:
        """Agreement and KL of a way, over texts."""
        strength = arm_spec(scenario, _arm(scenario, method)).strength
        agreement, kl_nats = [], []
        rows = zip(
            self._logits[method],
            self._delta[method],
            self.deltas(scenario, workload, method),
            strict=True,
        )
        for logits_TV, ours_TV, theirs_TV in rows:
            ours = log_softmax(decision_scores(logits_TV, ours_TV, strength))
            theirs = log_softmax(decision_scores(logits_TV, theirs_TV, strength))
            agreement.append(float((ours.argmax(-1) == theirs.argmax(-1)).mean()))
            kl_nats.append(float((np.exp(ours) * (ours - theirs)).sum(-1).mean()))
        return mean_interval(np.array(agreement)), mean_interval(np.array(kl_nats))


def requests_of(workload: Workload) -> dict[str, Request]:
    """Every request of a workload, by the id of its prompt."""
    return {
        request.prompt_id: request for device in workload.devices for request in device.requests
    }


def _arm(scenario: Scenario, method: str) -> ArmConfig:
    return next(arm for arm in scenario.arms if arm.method == method)


def _texts(run: Run, scenario: Scenario, method: str) -> dict[str, tuple[int, ...]]:
    """What a method wrote, by prompt."""
    place = [arm.method for arm in scenario.arms].index(method)
    tokens = run.tokens[run.tokens["arm"] == place]
    ids = run.requests[run.requests["arm"] == place].set_index(["device", "request"])["prompt_id"]
    texts = {}
    for key, rows in tokens.groupby(["device", "request"]):
        ordered = rows.sort_values("position")
        texts[str(ids.loc[key])] = tuple(int(token) for token in ordered["token"])
    return texts


def _along(model: HostedModel, prompt: tuple[int, ...], text: tuple[int, ...]) -> F64:
    """The cloud's logits_TV before each token of a text."""
    slot = model.cache.take()
    whole = [*prompt, *text[:-1]]
    logits_TV = model.forward_tensor([slot], [0], [whole], [len(text)])
    model.cache.free(slot)
    return logits_TV.cpu().numpy().astype(np.float64)


def _walk(host: ModelEdgeHost, request: Request, text: tuple[int, ...]) -> Iterator[F64]:
    """Δ before each token of a text."""
    prompts = tuple(request.branch(which) for which in Prompt)
    lengths = tuple(len(prompt) for prompt in prompts)
    told = lengths if request.own is not None else ()
    host.execute([EdgeForward(_SESSION, prompts, (0, 0), prompts=told)])
    yield host.delta(_SESSION, 0)
    for place, token in enumerate(text[:-1]):
        starts = tuple(length + place for length in lengths)
        host.execute([EdgeForward(_SESSION, ((token,), (token,)), starts)])
        yield host.delta(_SESSION, place + 1)
    host.execute([Release(_SESSION)])


_SESSION = 0


def _standings(
    way: Way, scenario: Scenario, workload: Workload, run: Run, reference: _Reference
) -> list[Standing]:
    found = []
    for arm in whole_arms(run.arms):
        method = str(arm["method"])
        requests = run.requests[run.requests["arm"] == int(arm["arm"])]
        steered = method in STEERED
        compared: tuple[Interval | None, Interval | None] = (None, None)
        if steered:
            compared = reference.compared(scenario, workload, method)
        found.append(
            Standing(
                way.title,
                method,
                _interval(requests, "rouge_l"),
                _interval(requests, "profile_recall"),
                _interval(requests, "fact_recall"),
                *compared,
                float(arm["frame_bytes_down_per_token"]),
                float(arm["frame_bytes_up_per_token"]),
                float(arm["tokens_per_second"]),
                arm.get("certified_share"),
            )
        )
    return found


def _interval(requests: pd.DataFrame, key: str) -> Interval:
    values: Sequence[float] = requests[key].dropna().to_numpy(dtype=np.float64)
    return mean_interval(np.array(values)) if len(values) else Interval(*(math.nan,) * 3)
