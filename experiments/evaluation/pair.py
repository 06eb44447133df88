"""What the shipped pair shows: the six methods on held-out rows, with intervals.

Computing and printing are apart: ``evaluate_pair`` returns plain dataclasses, ``format_report``
makes the text of them.  Everything is greedy, so a report is a function of (weights, split,
limit, seed of the bootstrap).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from experiments.evaluation.bootstrap import Interval, mean_interval, paired_difference
from experiments.evaluation.decode import Branch, greedy
from experiments.evaluation.quality import Quality, quality, rouge_l
from experiments.pair.corpus import Row, Split, rows, second_references

LIGHT: Final = 1 / 2.1
"""Strength of LightCoSteer (T=1, lambda=2, eta=10): c_1 = beta / (lambda + 1/eta)."""
FULL: Final = 1.7833
"""Strength of CoSteer at the paper's defaults (T=20)."""
CURVE: Final = (0.0, 0.25, LIGHT, 0.75, 1.0, 1.25, 1.5, FULL, 2.25, 2.58, 3.0, 4.0)
MAX_NEW_TOKENS: Final = 96
MODELS: Final = Path(__file__).parent.parent / "pair" / "models"
METHODS: Final = (
    "slm_without",
    "slm_with",
    "llm_without",
    "llm_with",
    "light_costeer",
    "costeer",
)
DIFFERENCES: Final = (
    ("costeer", "slm_with"),
    ("costeer", "llm_without"),
    ("llm_with", "costeer"),
    ("light_costeer", "slm_with"),
    ("light_costeer", "llm_without"),
    ("llm_with", "light_costeer"),
)


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean metrics of one set of texts with their 95 % intervals; all in [0, 1]."""

    rouge_l: Interval
    profile_recall: Interval
    fact_recall: Interval


@dataclass(frozen=True, slots=True)
class Difference:
    """ROUGE-L of ``better`` minus ROUGE-L of ``worse`` on the same rows."""

    better: str
    worse: str
    rouge_l: Interval


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Scores at one strength c of ``log p = log p_llm + c * delta``."""

    strength: float
    scores: Scores


@dataclass(frozen=True, slots=True)
class Sample:
    """One row's prompt, reference and texts by method."""

    id: str
    personalized_input: str
    output: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SlmReport:
    """The six methods with one SLM; ``slm`` is the name of its folder."""

    slm: str
    methods: Mapping[str, Scores]
    differences: tuple[Difference, ...]
    curve: tuple[CurvePoint, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class PairReport:
    """All that ``costeer evaluate pair`` shows; ceiling and floor are ROUGE-L of references."""

    split: Split
    rows: int
    ceiling: Interval
    floor: Interval
    slms: tuple[SlmReport, ...]


def evaluate_pair(
    split: Split = "dev",
    limit: int | None = None,
    llm: Path = MODELS / "llm",
    slms: Sequence[Path] = (MODELS / "slm",),
    curve: Sequence[float] = CURVE,
    samples: int = 2,
) -> PairReport:
    """Decode the rows of a split with every method and every SLM given, and score them.

    ``limit`` takes the first rows only.  OSError when a model folder cannot be read; ValueError
    when the split is not a held-out one.
    """
    if split == "train":
        raise ValueError("the pair is judged on held-out rows: dev, test or test_templates")

    def load(folder: Path) -> PreTrainedModel:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
        model.train(mode=False)
        return model

    held_out = rows(split, limit)
    tokenizer = AutoTokenizer.from_pretrained(llm)
    decoder = _Decoder(load(llm), tokenizer, held_out)
    references = [row.output for row in held_out]
    return PairReport(
        split=split,
        rows=len(held_out),
        ceiling=mean_interval(rouge_l(second_references(split, limit), references)),
        floor=mean_interval(rouge_l([*references[1:], references[0]], references)),
        slms=tuple(
            _report(folder.name, decoder.texts(load(folder), curve), held_out, curve, samples)
            for folder in slms
        ),
    )


class _Decoder:
    """Decodes one set of rows; keeps the LLM's own texts, which no SLM changes."""

    def __init__(
        self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, held_out: Sequence[Row]
    ) -> None:
        self._llm = llm
        self._tokenizer = tokenizer
        self._base = [row.input for row in held_out]
        self._personal = [row.personalized_input for row in held_out]
        self._llm_texts = {
            "llm_without": self._greedy([(llm, self._base, 1.0)]),
            "llm_with": self._greedy([(llm, self._personal, 1.0)]),
        }

    def _greedy(self, terms: list[tuple[PreTrainedModel, list[str], float]]) -> list[str]:
        return greedy([Branch(*term) for term in terms], self._tokenizer, MAX_NEW_TOKENS)

    def texts(self, slm: PreTrainedModel, curve: Sequence[float]) -> dict[str | float, list[str]]:
        """Texts by method name, and by strength for the curve."""
        texts: dict[str | float, list[str]] = {
            "slm_without": self._greedy([(slm, self._base, 1.0)]),
            "slm_with": self._greedy([(slm, self._personal, 1.0)]),
        }
        texts.update(self._llm_texts)
        for strength in sorted({*curve, LIGHT, FULL}):
            texts[strength] = (
                self._llm_texts["llm_without"]
                if strength == 0
                else self._greedy(
                    [
                        (self._llm, self._base, 1.0),
                        (slm, self._personal, strength),
                        (slm, self._base, -strength),
                    ]
                )
            )
        texts["light_costeer"] = texts[LIGHT]
        texts["costeer"] = texts[FULL]
        return texts


def _report(
    name: str,
    texts: Mapping[str | float, list[str]],
    held_out: Sequence[Row],
    curve: Sequence[float],
    samples: int,
) -> SlmReport:
    by_key: dict[str | float, Quality] = {
        key: quality(
            values,
            [row.output for row in held_out],
            [row.profile_facts for row in held_out],
            [row.thing_facts for row in held_out],
        )
        for key, values in texts.items()
    }
    return SlmReport(
        slm=name,
        methods={method: _scores(by_key[method]) for method in METHODS},
        differences=tuple(
            Difference(
                better, worse, paired_difference(by_key[better].rouge_l, by_key[worse].rouge_l)
            )
            for better, worse in DIFFERENCES
        ),
        curve=tuple(CurvePoint(strength, _scores(by_key[strength])) for strength in curve),
        samples=tuple(
            Sample(
                row.id,
                row.personalized_input,
                row.output,
                {method: texts[method][place] for method in METHODS},
            )
            for place, row in enumerate(held_out[:samples])
        ),
    )


def _scores(values: Quality) -> Scores:
    return Scores(
        rouge_l=mean_interval(values.rouge_l),
        profile_recall=mean_interval(values.profile_recall),
        fact_recall=mean_interval(values.fact_recall),
    )


def format_report(report: PairReport) -> str:
    """The report as plain text tables."""
    lines = [
        f"split {report.split}, {report.rows} rows, greedy; mean [95 % interval]",
        f"ROUGE-L of two references of one row (ceiling): {_cell(report.ceiling)}",
        f"ROUGE-L of references of different rows (floor): {_cell(report.floor)}",
    ]
    for slm in report.slms:
        lines += [
            "",
            f"SLM {slm.slm}",
            _row("method", ["ROUGE-L", "profile recall", "fact recall"]),
        ]
        lines += [_row(method, _cells(scores)) for method, scores in slm.methods.items()]
        lines += ["", _row("ROUGE-L difference", ["mean", "excludes 0"])]
        lines += [
            _row(
                f"{d.better} - {d.worse}",
                [_cell(d.rouge_l), "yes" if d.rouge_l.excludes_zero else "no"],
            )
            for d in slm.differences
        ]
        lines += ["", _row("strength c", ["ROUGE-L", "profile recall", "fact recall"])]
        lines += [_row(f"{point.strength:.3f}", _cells(point.scores)) for point in slm.curve]
    return "\n".join(lines)


def _cells(scores: Scores) -> list[str]:
    return [_cell(scores.rouge_l), _cell(scores.profile_recall), _cell(scores.fact_recall)]


def _cell(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<28}" + "".join(f"{cell:<24}" for cell in cells).rstrip()
