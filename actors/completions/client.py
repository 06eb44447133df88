"""Asking a completions server for the next token's log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.completions.api import Api
from costeer.errors import ConfigError, RemoteProtocolError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how it is spoken to.

    Args:
        url: up to and with ``/v1``.
        model: as the server calls it; the only one that it has if empty.
        top_logprobs: tokens that it is asked for.
        timeout_s: for one answer.
        retries: how often a request is made again that got none.
        pause_s: before the first repetition; doubles with each.
        key_variable: environment variable that holds the key, on the machine that asks.
    """

    url: str
    model: str = ""
    top_logprobs: int = 20
    timeout_s: float = 60.0
    retries: int = 3
    pause_s: float = 0.5
    key_variable: str = "OPENAI_API_KEY"


class CompletionsClient:
    """One connection pool to one server."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Find the server and its model.

        Raises:
            ConfigError: nothing answers there, or it has no such model.
        """
        self._endpoint = endpoint
        self._api = Api(
            endpoint.url,
            timeout_s=endpoint.timeout_s,
            retries=endpoint.retries,
            pause_s=endpoint.pause_s,
            key_variable=endpoint.key_variable,
            named="models.cloud.url",
        )
        self._model = self._find_model()

    @property
    def model(self) -> str:
        """The model's name at the server."""
        return self._model

    def next_tokens(self, prefixes: Sequence[Sequence[int]]) -> list[Mapping[str, Any]]:
        """Return the choice that follows each prefix of token ids, in their order.

        Raises:
            ConfigError: the server is gone or refuses.
            RemoteProtocolError: its answer is none.
        """
        answer = self._api.ask(
            "POST",
            "/completions",
            {
                "model": self._model,
                "prompt": [list(prefix) for prefix in prefixes],
                "max_tokens": 1,
                "temperature": 0,
                "logprobs": self._endpoint.top_logprobs,
                "return_tokens_as_token_ids": True,  # vLLM's own; others pass over it
            },
        )
        choices = answer.get("choices")
        if not isinstance(choices, list) or len(choices) != len(prefixes):
            raise RemoteProtocolError(
                f"completions: {len(prefixes)} prompts were not answered by as many choices"
            )
        by_index: dict[object, Mapping[str, Any]] = {
            each.get("index", place): each
            for place, each in enumerate(choices)
            if isinstance(each, Mapping)
        }
        if set(by_index) != set(range(len(prefixes))):
            raise RemoteProtocolError("completions: choices are not numbered from 0")
        return [by_index[place] for place in range(len(prefixes))]

    def _find_model(self) -> str:
        names = self._api.models()
        wanted = self._endpoint.model
        if wanted and wanted in names:
            return wanted
        if not wanted and len(names) == 1 and isinstance(names[0], str):
            return names[0]
        known = ", ".join(map(str, names)) or "no model"
        raise ConfigError(
            f"models.cloud.model: {self._api.url} has {known}, not {wanted or 'one alone'};"
            " name one of them"
        )
