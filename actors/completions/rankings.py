"""What a completions server says of the next token, and the row of logits that stands for it.

A server gives the log-probabilities of its best n tokens (often 20 at most), not its logits. That
is enough: log-probabilities are logits up to a constant, which steering does not see. The other
tokens of the row are unknown but for two facts: none is above the n-th, and together they have the
probability that is left. The row holds them below the n-th at equal shares, so its first n ranks,
and its logsumexp wherever that is possible, are the server's. What is asked of such a row has to
stay within its first n ranks; the planning of an arm checks that.

Servers name tokens in three ways: ``token_id:N`` as text (vLLM, which is asked for it), an ``id``
beside the text (llama.cpp), or text alone, which is taken where exactly one token has it.

Legend: K known tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import RemoteProtocolError

F32: TypeAlias = npt.NDArray[np.float32]

_ID_PREFIX = "token_id:"
_ABOVE_ONE = 1e-3
"""How far above 0 a rounded log-probability may lie."""
_GAP_NATS = 1.0
_GAP_SHARE = 2.0**-5
"""Unknown tokens lie so far below the last known one, nats and as a share of its log-probability:
more than any format on the wire rounds by, so that they never tie with it."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best tokens of one position, the most probable first, ties by the lowest id.

    Args:
        ids: K distinct token ids.
        logprobs: of each, nats.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


def read_ranking(
    choice: Mapping[str, Any], count: int, vocab_size: int, id_of_text: Mapping[str, int]
) -> Ranking:
    """Return the best tokens that one choice of a completion's answer names.

    Args:
        choice: an element of ``choices``, of a completion of one token.
        count: how many tokens have to be named.
        vocab_size: V; ids from there on (padding) are left out.
        id_of_text: ids of tokens that are told apart by their text.

    Raises:
        RemoteProtocolError: the answer has no such ranking.
    """
    best: dict[int, float] = {}
    for name, logprob in _entries(choice):
        token = _id(name, id_of_text)
        if not isinstance(logprob, int | float) or not -math.inf < logprob <= _ABOVE_ONE:
            raise RemoteProtocolError(f"completions: token {token} has log-probability {logprob!r}")
        if 0 <= token < vocab_size:
            best[token] = max(float(logprob), best.get(token, -math.inf))
    if len(best) < count:
        raise RemoteProtocolError(
            f"completions: {len(best)} tokens came with log-probabilities, {count} were asked for;"
            " lower models.cloud.top_logprobs, or raise the server's limit (vLLM: --max-logprobs)"
        )
    ranked = sorted(best.items(), key=lambda each: (-each[1], each[0]))[:count]
    return Ranking(tuple(token for token, _ in ranked), tuple(value for _, value in ranked))


def row_of(ranking: Ranking, vocab_size: int) -> F32:
    """Return the (V,) row of logits whose first ranks are those of a ranking."""
    last = ranking.logprobs[-1]
    highest = last - max(_GAP_NATS, -last * _GAP_SHARE)
    left = 1.0 - math.fsum(math.exp(each) for each in ranking.logprobs)
    unknown = vocab_size - len(ranking.ids)
    share = math.log(left / unknown) if left > 0.0 and unknown else -math.inf
    # A share of nothing at all would be no finite logit.
    row_V = np.full(vocab_size, min(highest, max(share, highest - 50.0)), dtype=np.float32)
    row_V[list(ranking.ids)] = ranking.logprobs
    return row_V


def _entries(choice: Mapping[str, Any]) -> Iterable[tuple[object, object]]:
    """Names and log-probabilities: a mapping of the old form, or the list of the new one."""
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, Mapping):
        content = logprobs.get("content")
        if isinstance(content, list) and content and isinstance(content[0], Mapping):
            listed = content[0].get("top_logprobs")
            if isinstance(listed, list):
                return [(each, each.get("logprob")) for each in listed if isinstance(each, Mapping)]
        top = logprobs.get("top_logprobs")
        if isinstance(top, list) and top and isinstance(top[0], Mapping):
            return list(top[0].items())
    raise RemoteProtocolError(
        "completions: the answer has no top_logprobs; give a server that reports log-probabilities"
    )


def _id(name: object, id_of_text: Mapping[str, int]) -> int:
    """The id of a token as a server names it."""
    if isinstance(name, Mapping):
        number = name.get("id")
        if isinstance(number, int):
            return number
        name = name.get("token")
    if isinstance(name, str):
        number = name.removeprefix(_ID_PREFIX)
        if number != name and number.isdecimal():
            return int(number)
        if name in id_of_text:
            return id_of_text[name]
    raise RemoteProtocolError(
        f"completions: {name!r} is not the text of exactly one token; give a server that names ids"
        " (vLLM does when asked, llama.cpp does)"
    )
