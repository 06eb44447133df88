"""One connection pool to an OpenAI-compatible server, and what its refusals mean."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from costeer.errors import ConfigError, RemoteProtocolError

_BUSY = (429, 502, 503, 504)
"""Statuses after which a server is asked again: asking twice changes nothing there."""
_SHOWN_CHARACTERS = 200


class Api:
    """A server that is asked and answers in JSON.

    Args:
        url: up to and with ``/v1``.
        timeout_s: for one answer.
        retries: how often a request is made again that got none.
        pause_s: before the first repetition; doubles with each.
        key_variable: environment variable that holds the key.
        named: what error messages call the address.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        retries: int,
        pause_s: float,
        key_variable: str,
        named: str,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._named = named
        self._session = requests.Session()
        again = Retry(
            retries,
            backoff_factor=pause_s,
            status_forcelist=_BUSY,
            allowed_methods=None,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=again))
        key = os.environ.get(key_variable)
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def models(self) -> list[object]:
        """Return the names of its models.

        Raises:
            ConfigError: it is gone or refuses.
            RemoteProtocolError: its answer is none.
        """
        listed = self.ask("GET", "/models", None).get("data")
        return [each.get("id") for each in listed or () if isinstance(each, Mapping)]

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return the answer to one request.

        Raises:
            ConfigError: the server is gone or refuses.
            RemoteProtocolError: its answer is no JSON object.
        """
        url = self.url + path
        try:
            response = self._session.request(method, url, json=body, timeout=self._timeout_s)
        except requests.RequestException as error:
            raise ConfigError(
                f"{self._named}: no answer from {url} ({type(error).__name__}); start the"
                " server, or give its address up to and with /v1"
            ) from error
        if not response.ok:
            said = " ".join(response.text.split())[:_SHOWN_CHARACTERS]
            raise ConfigError(f"{self._named}: {url} answered {response.status_code}: {said}")
        try:
            answer = response.json()
        except ValueError as error:
            raise RemoteProtocolError(f"completions: {url} did not answer in JSON") from error
        if not isinstance(answer, Mapping):
            raise RemoteProtocolError(f"completions: {url} did not answer with a JSON object")
        return answer
