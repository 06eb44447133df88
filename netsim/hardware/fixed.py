"""Constant costs: for overhead measurements, textbook queues and tests."""

from collections.abc import Sequence
from dataclasses import dataclass

from netsim.hardware.cost import check_rows
from netsim.hardware.roofline import ForwardTerms
from netsim.hardware.variation import check_variation


@dataclass(frozen=True, slots=True)
class Fixed:
    """A cost model whose every answer a person declared. Times in ns, 0 if not given."""

    name: str = "fixed"
    """What tables call it."""
    forward: int = 0
    """A forward, whatever its rows."""
    forward_per_row: int = 0
    """And for each row."""
    forward_per_token: int = 0
    """And for each new token."""
    select: int = 0
    """Selecting for a whole batch."""
    encode: int = 0
    """Encoding a whole batch."""
    decode: int = 0
    """Decoding one frame."""
    steer: int = 0
    """Steering one token, one iteration."""
    choose: int = 0
    """Choosing one token."""
    forward_variation: tuple[int, ...] = ()
    """See CostModel."""
    kv_bytes_per_token: int = 1
    """KV-cache bytes of one token."""
    kv_tokens: int = 1 << 40
    """Tokens of context that fit."""

    def __post_init__(self) -> None:
        check_variation(self.forward_variation)

    @property
    def origin(self) -> str:
        """Declared: somebody wrote the numbers down."""
        return "declared"

    @property
    def terms(self) -> ForwardTerms:
        """The same forward as `roofline.batch_ns` sees it: one operation a nanosecond."""
        return (self.forward_per_token, self.forward_per_row, 0, 0, 0, 1000, 1, self.forward)

    def forward_ns(self, new_tokens: Sequence[int], contexts: Sequence[int]) -> int:
        """See CostModel."""
        rows = check_rows(new_tokens, contexts)
        per_token = self.forward_per_token * sum(new_tokens)
        return self.forward + self.forward_per_row * rows + per_token

    def select_ns(self, rows: int, vocab_size: int, k: int) -> int:  # noqa: ARG002 - constant
        """See CostModel."""
        return self.select

    def encode_ns(self, rows: int, values: int) -> int:  # noqa: ARG002 - constant
        """See CostModel."""
        return self.encode

    def decode_ns(self, values: int) -> int:  # noqa: ARG002 - constant
        """See CostModel."""
        return self.decode

    def steer_ns(self, vocab_size: int, iterations: int = 1) -> int:  # noqa: ARG002 - constant
        """See CostModel."""
        return self.steer * iterations

    def choose_ns(self, vocab_size: int, rows: int = 1) -> int:  # noqa: ARG002 - constant
        """See CostModel."""
        return rows * self.choose

    def kv_capacity_tokens(self) -> int:
        """See CostModel."""
        return self.kv_tokens
