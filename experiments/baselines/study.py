"""Every method's one number is tuned on dev rows, then all are compared on rows not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from actors.models.tokenizer import load_tokenizer
from costeer.methods import Prompt
from experiments.baselines.methods import BASELINES, CLOUD, DEVICE, Baseline
from experiments.datasets.row import PromptRow
from experiments.evaluation.bootstrap import (
    Interval,
    mean_interval,
    paired_difference,
    sign_flip_p,
)
from experiments.evaluation.decode import Branch, greedy
from experiments.evaluation.quality import Quality, quality
from experiments.pair_limits import vocab_size_of
from experiments.progress import Progress
from experiments.scenario import ModelsConfig, Scenario
from experiments.scoring.likelihood import load_reference
from experiments.workload import load_rows

F64 = npt.NDArray[np.float64]

REFERENCE = "costeer"
"""What the others are compared with."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One strength on the dev rows."""

    strength: float
    rouge_l: float


@dataclass(frozen=True, slots=True)
class Crossing:
    """What a method's run says beside its texts.

    Args:
        bytes_down: frame bytes down per token.
        bytes_up: frame bytes up per token.
        tokens_per_second: of a stream, simulated.
        certified: share of the tokens that are proved to be the whole vocabulary's choice.
    """

    bytes_down: float
    bytes_up: float
    tokens_per_second: float
    certified: float


@dataclass(frozen=True, slots=True)
class Standing:
    """One method on the test rows.

    Args:
        key: the method's.
        title: its name in tables.
        context_at: where it needs the private context.
        private: whether the context stays on the device.
        strength: the best on dev rows; None where it has none.
        tried: all of them.
        rouge_l: over test rows.
        profile_recall: the same.
        fact_recall: the same.
        difference: ROUGE-L minus that of CoSteer, paired; None for itself.
        p: of that difference.
        crossing: what its run as an arm says; None where there was none.
    """

    key: str
    title: str
    context_at: str
    private: bool
    strength: float | None
    tried: tuple[Tried, ...]
    rouge_l: Interval
    profile_recall: Interval
    fact_recall: Interval
    difference: Interval | None
    p: float | None
    crossing: Crossing | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All methods.

    Args:
        pair: whose models.
        dev_rows: that strengths were chosen on.
        test_rows: that methods are compared on.
        standings: in the order of ``BASELINES``.
    """

    pair: str
    dev_rows: int
    test_rows: int
    standings: tuple[Standing, ...]


def load_pair(
    models: ModelsConfig,
) -> tuple[dict[str, PreTrainedModel], PreTrainedTokenizerBase]:
    """Load both models of a pair, by where they are, and the tokenizer that both use.

    Raises:
        ConfigError: one cannot be loaded, or the large one is at a server.
    """
    loaded = {
        CLOUD: load_reference(models.hosted_cloud("comparing methods")),
        DEVICE: load_reference(models.edge),
    }
    tokenizer = load_tokenizer(models.tokenizer_location)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return loaded, tokenizer


class Decoder:
    """Texts of one set of rows by any method."""

    def __init__(
        self,
        models: dict[str, PreTrainedModel],
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[PromptRow],
        max_new_tokens: int,
        vocab_size: int,
    ) -> None:
        self._models = models
        self._tokenizer = tokenizer
        self._rows = rows
        self._max_new_tokens = max_new_tokens
        self._vocab_size = vocab_size
        self._prompts = {
            Prompt.PUBLIC: [row.input for row in rows],
            Prompt.PERSONAL: [row.personalized_input for row in rows],
        }

    def quality(self, baseline: Baseline, strength: float) -> Quality:
        """Return a method's metrics, row by row."""
        branches = [
            Branch(self._models[party], self._prompts[prompt], 1.0)
            for party, prompt in baseline.parts
        ]
        texts = greedy(
            branches,
            self._tokenizer,
            self._max_new_tokens,
            rule=baseline.rule(strength),
            vocab_size=self._vocab_size,
        )
        return quality(
            texts,
            [row.output for row in self._rows],
            [row.profile_facts for row in self._rows],
            [row.thing_facts for row in self._rows],
        )


def compare_baselines(
    scenario: Scenario,
    progress: Progress,
    dev: tuple[str, int] = ("dev", 32),
    test: tuple[str, int] = ("test", 64),
) -> Comparison:
    """Tune and compare.

    Args:
        scenario: names the pair and how long texts are.
        progress: told of methods.
        dev: prompts and rows that strengths are chosen on.
        test: prompts and rows that methods are compared on.

    Raises:
        ConfigError: models or prompts cannot be had.
    """
    models = scenario.models
    loaded, tokenizer = load_pair(models)
    dev_rows, test_rows = (load_rows(*each) for each in (dev, test))
    size, longest = vocab_size_of(models), scenario.workload.max_new_tokens
    tuning = Decoder(loaded, tokenizer, dev_rows, longest, size)
    final = Decoder(loaded, tokenizer, test_rows, longest, size)
    chosen: dict[str, tuple[float, tuple[Tried, ...]]] = {}
    found: dict[str, Quality] = {}
    for baseline in BASELINES:
        progress.note(f"baselines: {baseline.title}")
        chosen[baseline.key] = _tuned(baseline, tuning)
        found[baseline.key] = final.quality(baseline, chosen[baseline.key][0])
    reference = found[REFERENCE].rouge_l
    standings = tuple(
        _standing(baseline, *chosen[baseline.key], found[baseline.key], reference)
        for baseline in BASELINES
    )
    return Comparison(scenario.name, len(dev_rows), len(test_rows), standings)


def _tuned(baseline: Baseline, tuning: Decoder) -> tuple[float, tuple[Tried, ...]]:
    """Return the strength with the best mean ROUGE-L, the weakest of equals, and all tried."""
    if len(baseline.strengths) == 1:
        return baseline.strengths[0], ()
    tried = tuple(
        Tried(strength, float(tuning.quality(baseline, strength).rouge_l.mean()))
        for strength in baseline.strengths
    )
    return max(tried, key=lambda each: (each.rouge_l, -abs(each.strength))).strength, tried


def _standing(
    baseline: Baseline,
    strength: float,
    tried: tuple[Tried, ...],
    found: Quality,
    reference: F64,
) -> Standing:
    itself = baseline.key == REFERENCE
    return Standing(
        baseline.key,
        baseline.title,
        baseline.context_at,
        baseline.private,
        strength or None,
        tried,
        mean_interval(found.rouge_l),
        mean_interval(found.profile_recall),
        mean_interval(found.fact_recall),
        None if itself else paired_difference(found.rouge_l, reference),
        None if itself else sign_flip_p(found.rouge_l - reference),
    )
