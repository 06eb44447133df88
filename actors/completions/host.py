"""The large model's side where it lives behind a completions server.

The server is sent what the engine's rows hold and nothing else: the prompt that the method lets
the cloud see, and the tokens chosen since. Each forward asks for one token after the whole prefix
of every row; a server with prefix caching computes the new part alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.completions.client import CompletionsClient, Endpoint
from actors.completions.rankings import F32, read_ranking, row_of
from actors.models.tokenizer import ids_by_text, load_tokenizer
from actors.values.port import ArmSpec
from actors.values.shadow import Shadow
from actors.values.steering_host import Selector
from costeer.errors import LocalProtocolError
from costeer.machine import CloudForward, CloudOp, CloudSelect, Release
from costeer.proposal import CloudDraft


class CompletionsCloudHost:
    """A large model at a server.

    Args:
        endpoint: the server.
        tokenizer: folder or hub name of the tokenizer that it shares with the device.
        vocab_size: tokens that both have.
        shadow: compares every choice with that from the whole row, where given.

    Raises:
        ConfigError: no such server, model or tokenizer.
    """

    def __init__(
        self, endpoint: Endpoint, tokenizer: str, vocab_size: int, shadow: Shadow | None = None
    ) -> None:
        self._endpoint = endpoint
        self._client = CompletionsClient(endpoint)
        self._id_of_text = ids_by_text(load_tokenizer(tokenizer))
        self._vocab_size = vocab_size
        self._shadow = shadow
        self._prefixes: dict[int, list[int]] = {}
        self._rows: dict[int, F32] = {}
        self._selector: Selector | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec; return the vocabulary's size."""
        self._prefixes.clear()
        self._rows.clear()
        self._selector = Selector(arm, self._vocab_size, self._shadow)
        return self._vocab_size

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        return [self._execute(op) for op in ops]

    def _execute(self, op: CloudOp | Release) -> object:
        if isinstance(op, CloudForward):
            self._forward(op)
            return None
        if isinstance(op, CloudSelect):
            if self._selector is None:
                raise LocalProtocolError("cloud host: an operation before begin_arm")
            return self._selector.select(op, self._row)
        if isinstance(op, CloudDraft):
            raise LocalProtocolError("a server of completions cannot be asked for drafts")
        self._prefixes.pop(op.session, None)
        self._rows.pop(op.session, None)
        return None

    def _forward(self, op: CloudForward) -> None:
        for row in op.rows:
            prefix = self._prefixes.setdefault(row.session, [])
            if row.start > len(prefix):
                raise LocalProtocolError(
                    f"session {row.session}: a row begins at {row.start}, {len(prefix)} are known"
                )
            prefix[row.start :] = row.tokens
        choices = self._client.next_tokens([self._prefixes[row.session] for row in op.rows])
        for row, choice in zip(op.rows, choices, strict=True):
            ranking = read_ranking(
                choice, self._endpoint.top_logprobs, self._vocab_size, self._id_of_text
            )
            self._rows[row.session] = row_of(ranking, self._vocab_size)

    def _row(self, session: int, position: int) -> F32:
        row_V = self._rows.get(session)
        if row_V is None:
            raise LocalProtocolError(
                f"session {session}: no logits at position {position}, it had no forward"
            )
        return row_V
