"""Costs from data sheets: the longer of computing and reading, plus overhead.

A forward reads the weights once, the KV cache of every row, and writes what is new; it computes
two operations per weight and new token, attention over what each token sees, and the output
matrix for one position per row. At batch 1 it is ruled by reading the weights.

How good is it? Reading the weights of Qwen2.5-7B alone takes 4.2 ms on an H100 and 6.9 ms on an
A100; the roofline says 5.6 and 9.0 ms per token, with declared efficiencies that nothing here has
measured. The paper reports 41.9 ms on a set-up of batch 1 without a tuned runtime: far above what
bandwidth explains, so overhead rules there. If it was an H100, the same roofline with 1.2 ms of
overhead per block gives that number (`dataclasses.replace(hardware_named("h100"),
launch_ns=1_220_000)`): a fit to one number, not a prediction.

Codec costs are host work: measured for packed top-k frames on one core (encode 36–74 µs, decode
5–24 µs, taken as the ends k = 64 and k = 1024 of a line), scaled by the host's speed. A frame
never costs more than a dense one over the model's vocabulary, which is a copy. Passes over
logits are declared: six to select from fp32 rows (five of a radix select, one log-sum-exp), eight
to steer, three to choose. On one core at 4.7 GB/s one pass over 151,936 logits takes the 130 µs
that was measured for a scan.
"""

from collections.abc import Sequence
from operator import mul
from typing import TypeAlias

from netsim.errors import NetsimError
from netsim.hardware.cost import check_factors, check_rows
from netsim.hardware.devices import Hardware
from netsim.hardware.shapes import ModelShape

SELECT_PASSES = 6
STEER_PASSES = 8
CHOOSE_PASSES = 3

_LOGIT_BYTES = 4
_SENT_BYTES = 8  # an id and a value on their way to the host
_DENSE_BYTES = 2  # a dense row travels to the host, and further, as fp16
_ENCODE_BASE_NS, _ENCODE_NS_PER_VALUE = 33_500.0, 39.6
_DECODE_BASE_NS, _DECODE_NS_PER_VALUE = 3_700.0, 19.8
_DENSE_NS_PER_VALUE = 1.3
_KERNELS_PER_SCAN = 2  # launches around a selection or a steering
_EXTRA_LAUNCHES = 2  # embedding and output matrix, beside the blocks


def roofline_ns(
    flops: int, traffic_bytes: int, flops_per_us: int, bytes_per_us: int, overhead_ns: int
) -> int:
    """The longer of computing and moving data, rounded up, plus overhead.

    Exact in 64-bit integers up to 9·10¹⁵ flop and 9·10¹⁵ bytes.
    """
    compute_ns = (flops * 1000 + flops_per_us - 1) // flops_per_us
    memory_ns = (traffic_bytes * 1000 + bytes_per_us - 1) // bytes_per_us
    return max(compute_ns, memory_ns) + overhead_ns


ForwardTerms: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""What rules a forward, see `FORWARD_TERMS`."""

FORWARD_TERMS = (
    "token_flops",  # per new token
    "head_flops",  # per row
    "attention_flops",  # per pair of query and key
    "read_bytes",  # weights, once
    "kv_bytes",  # per token held or new
    "flops_per_us",
    "bytes_per_us",
    "overhead_ns",
)


def batch_ns(rows: int, new: int, held: int, pairs: int, terms: ForwardTerms) -> int:
    """One batched forward by what its rows add up to. Integers only, for compiled code.

    Args:
        rows: of the batch.
        new: tokens to compute.
        held: tokens in the caches before.
        pairs: of query and key.
        terms: `FORWARD_TERMS`.
    """
    token, head, attention, read, kv, flops_per_us, bytes_per_us, overhead_ns = terms
    flops = new * token + rows * head + pairs * attention
    traffic_bytes = read + (held + new) * kv
    return roofline_ns(flops, traffic_bytes, flops_per_us, bytes_per_us, overhead_ns)


class Roofline:
    """A CostModel for a `shape` on `hardware`, from data sheets.

    `forward` and `logits` multiply the time of forwards and of all that touches logits: 1 is what
    the data sheets say. Raises NetsimError if the weights do not fit into the memory.
    """

    __slots__ = (
        "_kv_bytes",
        "_logits",
        "_scan_ns_per_value",
        "_scan_overhead_ns",
        "hardware",
        "shape",
        "terms",
    )

    def __init__(
        self, hardware: Hardware, shape: ModelShape, *, forward: float = 1.0, logits: float = 1.0
    ) -> None:
        check_factors(forward, logits)
        self.hardware = hardware
        self.shape = shape
        self._logits = logits
        self._kv_bytes = shape.kv_bytes_per_token
        self.terms: ForwardTerms = (
            2 * shape.block_parameters,
            2 * shape.vocab * shape.hidden,
            4 * shape.layers * shape.heads * shape.head_dim,
            shape.read_bytes,
            self._kv_bytes,
            round(hardware.peak_flops * hardware.compute_efficiency / 1e6 / forward),
            round(hardware.memory_bandwidth * hardware.memory_efficiency / 1e6 / forward),
            round(hardware.launch_ns * (shape.layers + _EXTRA_LAUNCHES) * forward),
        )
        self._scan_overhead_ns = round(hardware.launch_ns * _KERNELS_PER_SCAN * logits)
        self._scan_ns_per_value = _LOGIT_BYTES * 1e9 / hardware.scan_bandwidth * logits
        if self._room_bytes() < 0:
            raise NetsimError(
                f"{shape.name} needs {shape.weight_bytes / 1e9:.1f} GB, {hardware.name} has "
                f"{hardware.memory_bytes * hardware.usable_memory / 1e9:.1f} GB for it: "
                f"take a smaller model, fewer bytes per weight or a larger device"
            )

    @property
    def name(self) -> str:
        """See CostModel."""
        return f"{self.shape.name} on {self.hardware.name}"

    @property
    def origin(self) -> str:
        """See CostModel."""
        return "roofline"

    def forward_ns(self, new_tokens: Sequence[int], contexts: Sequence[int]) -> int:
        """See CostModel."""
        rows = check_rows(new_tokens, contexts)
        new = sum(new_tokens)
        held = sum(contexts)
        if new == rows:  # decode: one new token in each row
            pairs = held + rows
        else:
            # A chunk of n after a context of c: n·c + n(n+1)/2 pairs of query and key.
            squares = sum(map(mul, new_tokens, new_tokens))
            pairs = sum(map(mul, new_tokens, contexts)) + (squares + new) // 2
        return batch_ns(rows, new, held, pairs, self.terms)

    def _scan_ns(self, values: int, passes: int) -> int:
        return self._scan_overhead_ns + round(values * passes * self._scan_ns_per_value)

    def select_ns(self, rows: int, vocab_size: int, k: int) -> int:
        """See CostModel."""
        dense = _DENSE_BYTES * vocab_size
        sent_bytes = rows * min(dense, _SENT_BYTES * k)
        copy_ns = round(sent_bytes * 1e9 / self.hardware.host_bandwidth * self._logits)
        if k >= vocab_size:
            return self._scan_overhead_ns + copy_ns
        return self._scan_ns(rows * vocab_size, SELECT_PASSES) + copy_ns

    def _frame_ns(self, values: int, base_ns: float, ns_per_value: float) -> int:
        sparse_ns = base_ns + ns_per_value * values
        dense_ns = base_ns + _DENSE_NS_PER_VALUE * max(self.shape.vocab, values)
        return round(min(sparse_ns, dense_ns) / self.hardware.host_speed * self._logits)

    def encode_ns(self, rows: int, values: int) -> int:
        """See CostModel."""
        turns = -(-rows // self.hardware.host_cores)
        return turns * self._frame_ns(values, _ENCODE_BASE_NS, _ENCODE_NS_PER_VALUE)

    def decode_ns(self, values: int) -> int:
        """See CostModel."""
        return self._frame_ns(values, _DECODE_BASE_NS, _DECODE_NS_PER_VALUE)

    def steer_ns(self, vocab_size: int, iterations: int = 1) -> int:
        """See CostModel."""
        return iterations * self._scan_ns(vocab_size, STEER_PASSES)

    def choose_ns(self, vocab_size: int, rows: int = 1) -> int:
        """See CostModel."""
        return self._scan_ns(rows * vocab_size, CHOOSE_PASSES)

    @property
    def forward_variation(self) -> tuple[int, ...]:
        """None: data sheets say nothing of it."""
        return ()

    @property
    def kv_bytes_per_token(self) -> int:
        """See CostModel."""
        return self._kv_bytes

    def kv_capacity_tokens(self, beside: "Roofline | None" = None) -> int:
        """See CostModel.

        Args:
            beside: another model in the same memory, that runs the same tokens.
        """
        if beside is None:
            return self._room_bytes() // self._kv_bytes
        room_bytes = self._room_bytes() - beside.shape.weight_bytes
        return room_bytes // (self._kv_bytes + beside.kv_bytes_per_token)

    def _room_bytes(self) -> int:
        hardware = self.hardware
        return int(hardware.memory_bytes * hardware.usable_memory) - self.shape.weight_bytes
