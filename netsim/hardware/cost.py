"""The seam through which a driver charges time for computation."""

from collections.abc import Sequence
from typing import Protocol

from netsim.errors import NetsimError


class CostModel(Protocol):
    """What one model on one device costs. Times are integer nanoseconds and never negative.

    Every cost grows, or stays, when any of its arguments grows.
    """

    @property
    def name(self) -> str:
        """Model and device, for tables: "qwen2.5-7b on h100"."""

    @property
    def origin(self) -> str:
        """How the numbers came about: roofline, calibrated or declared."""

    def forward_ns(self, new_tokens: Sequence[int], contexts: Sequence[int]) -> int:
        """One batched forward.

        Args:
            new_tokens: per row, tokens to compute: 1 in decode, the chunk in prefill; at least 1.
            contexts: per row, tokens that its KV cache holds before; same length.

        Raises:
            NetsimError: no rows, lengths that differ, or a row without new tokens.
        """

    def select_ns(self, rows: int, vocab_size: int, k: int) -> int:
        """Taking the top k and the log-sum-exp of `rows` rows of logits, and their way to the host.

        k >= vocab_size means all of them: nothing is selected.
        """

    def encode_ns(self, rows: int, values: int) -> int:
        """Encoding `rows` frames of `values` sent logits each."""

    def decode_ns(self, values: int) -> int:
        """Decoding one frame of `values` logits."""

    def steer_ns(self, vocab_size: int, iterations: int = 1) -> int:
        """Combining the cloud's logits with the two edge branches over the vocabulary.

        `iterations` is T of the paper's loop; the scalar form takes 1.
        """

    def choose_ns(self, vocab_size: int, rows: int = 1) -> int:
        """Certifying and choosing the token of each of `rows` rows over the vocabulary."""

    @property
    def forward_variation(self) -> tuple[int, ...]:
        """How much forwards of one shape differ, see `variation`; empty if they do not."""

    @property
    def kv_bytes_per_token(self) -> int:
        """KV-cache bytes that one token of context holds."""

    def kv_capacity_tokens(self) -> int:
        """Tokens of context that fit beside the weights."""


def check_rows(new_tokens: Sequence[int], contexts: Sequence[int]) -> int:
    """The number of rows of a forward; NetsimError if the two lists cannot be one batch."""
    rows = len(new_tokens)
    if rows != len(contexts) or rows == 0:
        raise NetsimError(
            f"forward: {rows} rows of new tokens and {len(contexts)} contexts; "
            f"both lists need one entry per row, and at least one row"
        )
    if min(new_tokens) < 1 or min(contexts) < 0:
        raise NetsimError(
            f"forward: new tokens {list(new_tokens)}, contexts {list(contexts)}; "
            f"each row needs at least 1 new token and no negative context"
        )
    return rows


def check_factors(forward: float, logits: float) -> None:
    """NetsimError for factors of time that are not positive and finite."""
    for name, factor in (("forward", forward), ("logits", logits)):
        if not 0 < factor < float("inf"):
            raise NetsimError(
                f"{name} = {factor}: a factor of time must be positive; 1 changes none"
            )
