"""A judge on loopback that rates by a rule: a real server, and verdicts that can be foreseen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

_ANSWER = re.compile(r"Start of Assistant(?: ([AB]))?'s Answer\] (.*?) \[The End", re.DOTALL)


class RuleJudge:
    """Longer answers are better; places sway it, or it says nothing readable, where it is told."""

    def __init__(self, *, likes_first: bool = False, mumbles: bool = False) -> None:
        self.likes_first = likes_first
        self.mumbles = mumbles
        self.prompts: list[str] = []

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        prompt = asked["messages"][0]["content"]
        self.prompts.append(prompt)
        said = "Hard to say." if self.mumbles else self._verdict(prompt)
        used = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(said.split())}
        return {"choices": [{"message": {"content": said}}], "usage": used}

    def _verdict(self, prompt: str) -> str:
        shown = {place: len(text.split()) for place, text in _ANSWER.findall(prompt)}
        if "A" not in shown:
            return f"It has words. Rating: [[{min(10, max(1, shown['']))}]]"
        if self.likes_first:
            return "The first, of course: [[A]]"
        better = "C" if shown["A"] == shown["B"] else "A" if shown["A"] > shown["B"] else "B"
        return f"Count the words: [[{better}]]"


@contextmanager
def judging(judge: RuleJudge) -> Iterator[str]:
    """Serve for as long as the block lasts; yields the address, up to and with /v1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say({"data": [{"id": "rule"}]})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._say(judge.answer(json.loads(body)))

        def _say(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
