"""A language model behind an OpenAI-compatible server as the judge of texts.

Absolute ratings use the paper's two prompts (its Figures 6 and 7; 1 to 10). Comparisons are asked
twice with the order swapped, since judges prefer places; how often the two disagree is counted.
Prompts are files and may be one's own; every verdict is kept as it came, so that a judgement can
be read, and a run that was interrupted asks only for what is missing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from actors.completions.api import Api
from costeer.errors import ConfigError, RemoteProtocolError

OVERALL, PERSONAL, PAIRWISE = "overall", "personal", "pairwise"

_FIELDS = {
    OVERALL: ("context", "question", "answer"),
    PERSONAL: ("context", "question", "answer"),
    PAIRWISE: ("context", "question", "answer_a", "answer_b"),
}
_RATING = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]")
_CHOICE = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_WORST, _BEST = 1.0, 10.0
_POINTS = {"A": 1.0, "B": 0.0, "C": 0.5}


@dataclass(frozen=True, slots=True)
class Question:
    """One answer that is to be judged.

    Args:
        context: the private context.
        question: the public query.
        answer: the text.
    """

    context: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said, and what is read from it.

    Args:
        rubric: `overall`, `personal` or `pairwise`.
        key: of the prompt that it answers.
        value: a rating, or the points of the first answer shown (1, ½, 0); None if unreadable.
        said: its words.
        prompt_tokens: as the server counts them.
        completion_tokens: the same of the answer.
    """

    rubric: str
    key: str
    value: float | None
    said: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Where a judge is and what it is shown.

    Args:
        url: of the server, up to and with ``/v1``.
        model: as the server calls it; the only one if empty.
        prompts: folder of `overall.txt`, `personal.txt` and `pairwise.txt`; the shipped if None.
        max_tokens: of a verdict.
        key_variable: environment variable that holds the server's key.
    """

    url: str
    model: str = ""
    prompts: Path | None = None
    max_tokens: int = 512
    key_variable: str = "OPENAI_API_KEY"


class Judge:
    """Asks, keeps and reads verdicts.

    Args:
        settings: where it is.
        kept: file of verdicts; those in it are not asked for again.

    Raises:
        ConfigError: nothing answers, no such model, or a prompt file that lacks a place to fill.
    """

    def __init__(self, settings: JudgeSettings, kept: Path) -> None:
        self._settings = settings
        self._api = Api(
            settings.url,
            timeout_s=120.0,
            retries=3,
            pause_s=0.5,
            key_variable=settings.key_variable,
            named="--judge",
        )
        self._model = _chosen(self._api, settings.model)
        self._templates = {rubric: _template(settings.prompts, rubric) for rubric in _FIELDS}
        self._kept = kept
        self._verdicts = _read(kept)
        self.asked: list[Verdict] = []

    @property
    def model(self) -> str:
        """The model's name at the server."""
        return self._model

    def rate(self, rubric: str, asked: Question) -> Verdict:
        """Return the rating of one answer, 1 to 10."""
        return self._verdict(rubric, asdict(asked), _rating)

    def prefer(self, ours: Question, theirs: str) -> tuple[Verdict, Verdict]:
        """Return both verdicts on an answer against another: ours first, then theirs first."""
        shared = {"context": ours.context, "question": ours.question}
        orders = ((ours.answer, theirs), (theirs, ours.answer))
        first, second = (
            self._verdict(PAIRWISE, shared | {"answer_a": a, "answer_b": b}, _points)
            for a, b in orders
        )
        return first, second

    def _verdict(
        self, rubric: str, fields: dict[str, str], read: Callable[[str], float | None]
    ) -> Verdict:
        prompt = self._templates[rubric]
        for name, value in fields.items():
            prompt = prompt.replace("{" + name + "}", value)
        key = hashlib.sha256(f"{self._model}\n{prompt}".encode()).hexdigest()
        if key not in self._verdicts:
            said, used = self._ask(prompt)
            verdict = Verdict(
                rubric,
                key,
                read(said),
                said,
                int(used.get("prompt_tokens", 0)),
                int(used.get("completion_tokens", 0)),
            )
            self.asked.append(verdict)
            self._verdicts[key] = verdict
            with self._kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(verdict), ensure_ascii=False) + "\n")
        return self._verdicts[key]

    def _ask(self, prompt: str) -> tuple[str, dict[str, Any]]:
        answer = self._api.ask(
            "POST",
            "/chat/completions",
            {
                "model": self._model,
                "messages": [{"role": "user", "content": prompt}],
                "temperature": 0,
                "max_tokens": self._settings.max_tokens,
            },
        )
        try:
            said = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise RemoteProtocolError("--judge: the answer holds no message") from error
        used = answer.get("usage")
        return str(said), dict(used) if isinstance(used, dict) else {}


def points_of(first: Verdict, second: Verdict) -> float | None:
    """Return ours against theirs over both orders: 1 won both, 0 lost both; None if unreadable."""
    if first.value is None or second.value is None:
        return None
    return (first.value + (1.0 - second.value)) / 2


def swayed_by_place(first: Verdict, second: Verdict) -> bool:
    """Whether the order changed the verdict."""
    return None not in (first.value, second.value) and first.value != 1.0 - (second.value or 0.0)


def cost(verdicts: Sequence[Verdict], price_in: float, price_out: float) -> float:
    """Return what verdicts cost, at prices per million tokens of prompts and answers."""
    return (
        sum(each.prompt_tokens * price_in + each.completion_tokens * price_out for each in verdicts)
        / 1e6
    )


def _rating(said: str) -> float | None:
    found = _RATING.findall(said)
    value = float(found[-1]) if found else float("nan")
    return value if _WORST <= value <= _BEST else None


def _points(said: str) -> float | None:
    found = _CHOICE.findall(said)
    return _POINTS[found[-1]] if found else None


def _chosen(api: Api, wanted: str) -> str:
    names = [str(name) for name in api.models()]
    if wanted in names:
        return wanted
    if not wanted and len(names) == 1:
        return names[0]
    raise ConfigError(
        f"--judge-model: {api.url} has {', '.join(names) or 'no model'}, not"
        f" {wanted or 'one alone'}; name one of them"
    )


def _template(folder: Path | None, rubric: str) -> str:
    name = f"{rubric}.txt"
    if folder is None:
        return (files("experiments.scoring") / "prompts" / name).read_text(encoding="utf-8")
    path = folder / name
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"--judge-prompts {path}: {reason}; it needs the three files") from error
    missing = [field for field in _FIELDS[rubric] if "{" + field + "}" not in text]
    if missing:
        places = ", ".join("{" + field + "}" for field in missing)
        raise ConfigError(f"--judge-prompts {path}: has no {places}; put it where it belongs")
    return text


def _read(path: Path) -> dict[str, Verdict]:
    if not path.exists():
        return {}
    verdicts = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            verdict = Verdict(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{path}:{number}: is no verdict; delete the line, it will be asked for again"
            ) from error
        verdicts[verdict.key] = verdict
    return verdicts
