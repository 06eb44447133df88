"""From generated ids to what the tables say of a text: its quality, and what the cloud saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from actors.records import UNANSWERED, RequestRow
from actors.values.witness import Candidates, Witnessed
from costeer.errors import ConfigError
from costeer.methods import CloudRole, Method, Prompt
from experiments.planning import Workload
from experiments.scenario import Scenario


class TextBook:
    """Reads requests back into text and scores them against their rows."""

    def __init__(self, scenario: Scenario, workload: Workload) -> None:
        """Load the tokenizer where values are of models; others have no text.

        Raises:
            ConfigError: what scores texts is not installed.
        """
        self._rows = workload.rows
        self._workload = workload
        self._tokenizer = self._own = None
        if scenario.values == "models":
            from actors.models.tokenizer import load_tokenizer  # noqa: PLC0415 - takes seconds

            if find_spec("rouge_score") is None:
                raise ConfigError(
                    "texts are scored by the package rouge-score, which is not installed;"
                    " pip install rouge-score"
                )
            self._tokenizer = load_tokenizer(scenario.models.tokenizer_location)
            if scenario.models.aligned:
                self._own = load_tokenizer(scenario.models.edge.location)

    def columns(
        self, method: Method, requests: Sequence[RequestRow]
    ) -> dict[int, Mapping[str, Any]]:
        """Return further columns of the requests, by session.

        A request that failed or was censored has its text, but no score. The cloud sees facts of
        the profile in its prompt where the method sends it the personal one, and in the tokens
        that it chooses or is told, refuted drafts among them.
        """
        # Where the small model has a vocabulary of its own, it is alone that it writes in it.
        alone = method.cloud is CloudRole.ABSENT and self._own is not None
        tokenizer = self._own if alone else self._tokenizer
        if tokenizer is None:
            return {}
        from experiments.evaluation.quality import rouge_l  # noqa: PLC0415 - takes seconds

        ends = self._workload.ends(method)
        found: dict[int, Mapping[str, Any]] = {}
        for request in requests:
            row = self._rows[request.prompt_id]
            ids = [token for token in request.tokens if token not in ends]
            text = str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
            sent = {Prompt.PUBLIC: row.input, Prompt.PERSONAL: row.personalized_input, None: ""}
            columns: dict[str, Any] = {
                "text": text,
                "prompt": row.input,
                "personal_prompt": row.personalized_input,
                "reference": row.output,
            }
            if not request.failed and request.reason not in UNANSWERED:
                drafts = tokenizer.decode(list(request.refuted), skip_special_tokens=True)
                told = f"{text} {drafts}" if method.cloud_prompt is not None else ""
                columns |= {
                    "rouge_l": float(rouge_l([text], [row.output])[0]) if row.output else None,
                    "profile_recall": _share(text, row.profile_facts),
                    "fact_recall": _share(text, row.thing_facts),
                    "facts_in_prompt_share": _share(sent[method.cloud_prompt], row.profile_facts),
                    "facts_in_tokens_share": _share(told, row.profile_facts),
                }
            found[request.session] = columns
        return found

    def marked(
        self, requests: Sequence[RequestRow], steps: Sequence[Witnessed]
    ) -> list[dict[str, Any]]:
        """Return witnessed texts, token by token, each with its candidates as text.

        Args:
            requests: an arm's requests.
            steps: what its devices kept.
        """
        if self._tokenizer is None or not steps:
            return []
        of_session: dict[int, list[Witnessed]] = {}
        for step in steps:
            of_session.setdefault(step.session, []).append(step)
        return [
            {
                "prompt_id": request.prompt_id,
                "device": request.device,
                "request": request.request,
                "tokens": self._tokens(request.tokens, of_session[request.session]),
            }
            for request in requests
            if request.session in of_session
        ]

    def _tokens(self, tokens: Sequence[int], steps: Sequence[Witnessed]) -> list[dict[str, Any]]:
        by_position = {step.position: step for step in steps}
        out: list[dict[str, Any]] = []
        before = ""
        for position, token in enumerate(tokens):
            # What a token adds depends on those before it: spaces, and letters of several bytes.
            so_far = [each for each in tokens[: position + 1] if each not in self._workload.eos]
            text = self._decode(so_far).lstrip()
            told: dict[str, Any] = {"text": text[len(before) :]}
            before = text
            step = by_position.get(position)
            if step is not None and step.token == token:
                told["steered"] = step.token != step.unsteered
                told["before"] = self._named(step.before)
                told["after"] = self._named(step.after)
            out.append(told)
        return out

    def _named(self, candidates: Candidates) -> list[tuple[str, float]]:
        return [
            (self._decode([token], special=True), round(probability, 4))
            for token, probability in candidates
        ]

    def _decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        if self._tokenizer is None:
            return ""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not special))


def _share(text: str, facts: Sequence[str]) -> float | None:
    """Share of the facts that stand in a text; None where there are no facts to see."""
    from experiments.evaluation.quality import recall  # noqa: PLC0415 - takes seconds

    return recall(text, facts) if facts else None
