"""From generated ids to what the tables say of a text: its quality, and what the cloud saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from actors.records import CENSORED, RequestRow
from costeer.errors import ConfigError
from costeer.methods import Method, Prompt
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
        self._eos = workload.eos
        self._tokenizer = None
        if scenario.values == "models":
            from actors.models.tokenizer import load_tokenizer  # noqa: PLC0415 - takes seconds

            if find_spec("rouge_score") is None:
                raise ConfigError(
                    "texts are scored by the package rouge-score, which is not installed;"
                    " pip install rouge-score"
                )
            self._tokenizer = load_tokenizer(scenario.models.tokenizer_location)

    def columns(
        self, method: Method, requests: Sequence[RequestRow]
    ) -> dict[int, Mapping[str, Any]]:
        """Return further columns of the requests, by session.

        A request that failed or was censored has its text, but no score. The cloud sees facts of
        the profile in its prompt where the method sends it the personal one, and in the tokens
        that it chooses or is told.
        """
        if self._tokenizer is None:
            return {}
        from experiments.evaluation.quality import rouge_l  # noqa: PLC0415 - takes seconds

        found: dict[int, Mapping[str, Any]] = {}
        for request in requests:
            row = self._rows[request.prompt_id]
            ids = [token for token in request.tokens if token not in self._eos]
            text = str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()
            sent = {Prompt.PUBLIC: row.input, Prompt.PERSONAL: row.personalized_input, None: ""}
            columns: dict[str, Any] = {
                "text": text,
                "prompt": row.input,
                "personal_prompt": row.personalized_input,
                "reference": row.output,
            }
            if not request.failed and request.reason != CENSORED:
                told = text if method.cloud_prompt is not None else ""
                columns |= {
                    "rouge_l": float(rouge_l([text], [row.output])[0]) if row.output else None,
                    "profile_recall": _share(text, row.profile_facts),
                    "fact_recall": _share(text, row.thing_facts),
                    "facts_in_prompt_share": _share(sent[method.cloud_prompt], row.profile_facts),
                    "facts_in_tokens_share": _share(told, row.profile_facts),
                }
            found[request.session] = columns
        return found


def _share(text: str, facts: Sequence[str]) -> float | None:
    """Share of the facts that stand in a text; None where there are no facts to see."""
    from experiments.evaluation.quality import recall  # noqa: PLC0415 - takes seconds

    return recall(text, facts) if facts else None
