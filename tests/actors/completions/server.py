"""A completions server on loopback, built on a real model: the part of the API that is used."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import numpy as np

from actors.models.forward import HostedModel


class ModelServer:
    """Answers one-token completions; what it was sent is kept."""

    def __init__(
        self,
        model: HostedModel,
        *,
        names: Callable[[int], Any] = "token_id:{}".format,
        most: int = 20,
        failing: int = 0,
    ) -> None:
        self.model = model
        self.names = names
        self.most = most
        self.failing = failing
        self.prompts: list[list[int]] = []
        self.keys: set[str | None] = set()
        self._lock = Lock()

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.prompts += asked["prompt"]
            choices = [self._choice(prompt, asked["logprobs"]) for prompt in asked["prompt"]]
        numbered = [{"index": index, "logprobs": each} for index, each in enumerate(choices)]
        return {"choices": numbered[::-1]}  # an order is not promised

    def _choice(self, prompt: list[int], count: int) -> dict[str, Any]:
        slot = self.model.cache.take()
        logits_V = self.model.forward([slot], [0], [tuple(prompt)])[0].astype(np.float64)
        self.model.cache.free(slot)
        logprobs_V = logits_V - logits_V.max()
        logprobs_V -= np.log(np.exp(logprobs_V).sum())
        best = np.lexsort((np.arange(len(logprobs_V)), -logprobs_V))[: min(count, self.most)]
        if isinstance(self.names(0), str):
            return {"top_logprobs": [{self.names(int(one)): logprobs_V[one] for one in best}]}
        listed = [{**self.names(int(one)), "logprob": logprobs_V[one]} for one in best]
        return {"content": [{"top_logprobs": listed}]}


@contextmanager
def serving(server: ModelServer) -> Iterator[str]:
    """Serve for as long as the block lasts; yields the address, up to and with /v1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            known = self.path == "/v1/models"
            self._say({"data": [{"id": "large"}]} if known else {}, 200 if known else 404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.keys.add(self.headers.get("Authorization"))
            if server.failing:
                server.failing -= 1
                self._say({"error": "busy"}, 503)
                return
            self._say(server.answer(body), 200)

        def _say(self, answer: dict[str, Any], status: int) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}/v1"
        finally:
            http.shutdown()
