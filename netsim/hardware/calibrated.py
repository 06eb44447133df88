"""Costs from measured points: interpolation between them, with where and when they were taken.

A forward was measured on a full grid of batch × new tokens per row × context per row. A batch of
unequal rows is looked up by its row count and its means; between grid points the time is linear
in each of the three, above the grid it continues the last step, below it stays. A larger forward
never costs less: `from_points` removes such dents, which are noise, by a running maximum.

Reading and writing files is the caller's; here are the text and its checks.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise, product
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from netsim.errors import NetsimError
from netsim.hardware.cost import check_factors, check_rows
from netsim.hardware.variation import check_variation

Axis: TypeAlias = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
Nanoseconds: TypeAlias = Annotated[int, Field(ge=0)]


class Linear(BaseModel):
    """A time that grows in proportion to a count."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    base_ns: float = Field(ge=0)
    """Time for none, nanoseconds."""
    per_value_ns: float = Field(ge=0)
    """Time for each, nanoseconds."""

    @classmethod
    def through(cls, measured: Iterable[tuple[int, int]]) -> Self:
        """The least-squares line through (count, ns) points, neither part below 0.

        Raises NetsimError without a point.
        """
        points = list(measured)
        if not points:
            raise NetsimError("calibration: no points to lay a line through; measure at least one")
        mean_x = sum(x for x, _ in points) / len(points)
        mean_y = sum(y for _, y in points) / len(points)
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
        slope = max(0.0, slope)
        return cls(base_ns=max(0.0, mean_y - slope * mean_x), per_value_ns=slope)

    def at(self, count: int) -> int:
        """Time for `count`, whole nanoseconds."""
        return round(self.base_ns + self.per_value_ns * count)

    def scaled(self, factor: float) -> Self:
        """The same, taking so many times as long."""
        return self.model_copy(
            update={"base_ns": self.base_ns * factor, "per_value_ns": self.per_value_ns * factor}
        )


class Calibrated(BaseModel):
    """A CostModel from measurements on one machine."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[1] = 1
    """Version of this file's layout."""
    origin: Literal["calibrated"] = "calibrated"
    """How the numbers came about."""
    model: str
    """The model that was measured."""
    host: str
    """The machine, in words."""
    date: str
    """When, ISO 8601."""
    batches: Axis
    """Grid: rows of a forward, ascending."""
    new_tokens: Axis
    """Grid: new tokens per row, ascending."""
    contexts: Axis
    """Grid: tokens held per row before, ascending."""
    forward_grid_ns: tuple[tuple[tuple[Nanoseconds, ...], ...], ...]
    """Measured forward, nanoseconds, by batch, new tokens, context."""
    select: Linear
    """Selecting: per logit of the batch (rows × vocabulary)."""
    encode: Linear
    """Encoding one frame: per sent value. Rows are encoded one after the other."""
    decode: Linear
    """Decoding one frame: per sent value."""
    steer: Linear
    """One steering iteration: per logit."""
    choose: Linear
    """Certifying and choosing: per logit."""
    forward_variation: tuple[int, ...] = ()
    """How much forwards of one shape differ, see `variation`; empty if that was not measured."""
    kv_bytes_per_token: int = Field(gt=0)
    """KV-cache bytes of one token."""
    kv_tokens: int = Field(ge=0)
    """Tokens of context that fit beside the weights."""

    @model_validator(mode="after")
    def _full_grid(self) -> Self:
        for name in ("batches", "new_tokens", "contexts"):
            axis = getattr(self, name)
            if any(low >= high for low, high in pairwise(axis)):
                raise ValueError(f"{name} = {list(axis)}: the grid's values must ascend")
        wanted = len(self.batches), len(self.new_tokens), len(self.contexts)
        fits = len(self.forward_grid_ns) == wanted[0] and all(
            len(plane) == wanted[1] and all(len(line) == wanted[2] for line in plane)
            for plane in self.forward_grid_ns
        )
        if not fits:
            raise ValueError(
                f"forward_grid_ns must have the shape batches × new_tokens × contexts = {wanted}"
            )
        return self

    @field_validator("forward_variation")
    @classmethod
    def _ascending(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        try:
            check_variation(given)
        except NetsimError as error:
            raise ValueError(str(error)) from None
        return given

    @classmethod
    def from_points(
        cls,
        points: Iterable[tuple[int, int, int, int]],
        *,
        model: str,
        host: str,
        date: str,
        select: Linear,
        encode: Linear,
        decode: Linear,
        steer: Linear,
        choose: Linear,
        kv_bytes_per_token: int,
        kv_tokens: int,
        forward_variation: tuple[int, ...] = (),
    ) -> Self:
        """From (batch, new tokens, context, ns) points that fill a grid; the last of equals counts.

        Raises NetsimError that names a missing point.
        """
        measured = {point[:3]: point[3] for point in points}
        batches, news, contexts = (tuple(sorted({key[i] for key in measured})) for i in range(3))
        raised: dict[tuple[int, int, int], int] = {}
        for i, j, k in product(range(len(batches)), range(len(news)), range(len(contexts))):
            point = (batches[i], news[j], contexts[k])
            if point not in measured:
                raise NetsimError(
                    f"calibration of {model}: no measurement at (batch, new tokens, context) = "
                    f"{point}; the points must fill a grid"
                )
            below = ((i - 1, j, k), (i, j - 1, k), (i, j, k - 1))
            raised[i, j, k] = max(measured[point], *(raised.get(near, 0) for near in below))
        grid = tuple(
            tuple(tuple(raised[i, j, k] for k in range(len(contexts))) for j in range(len(news)))
            for i in range(len(batches))
        )
        try:
            return cls(
                model=model,
                host=host,
                date=date,
                batches=batches,
                new_tokens=news,
                contexts=contexts,
                forward_grid_ns=grid,
                select=select,
                encode=encode,
                decode=decode,
                steer=steer,
                choose=choose,
                forward_variation=forward_variation,
                kv_bytes_per_token=kv_bytes_per_token,
                kv_tokens=kv_tokens,
            )
        except ValidationError as error:
            raise _one_line(error, f"calibration of {model}") from None

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """From what `to_json` wrote; `where` names the file in errors.

        Raises NetsimError for text that is not a calibration.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _one_line(error, where) from None

    def to_json(self) -> str:
        """The calibration as JSON text."""
        return self.model_dump_json(indent=1)

    def scaled(self, forward: float, logits: float) -> Self:
        """The same with forwards, and with all that touches logits, taking so many times as long.

        Raises NetsimError for factors that are not positive.
        """
        check_factors(forward, logits)
        grid = tuple(
            tuple(tuple(round(ns * forward) for ns in line) for line in plane)
            for plane in self.forward_grid_ns
        )
        passes = {
            name: getattr(self, name).scaled(logits)
            for name in ("select", "encode", "decode", "steer", "choose")
        }
        return self.model_copy(update={"forward_grid_ns": grid} | passes)

    @property
    def name(self) -> str:
        """See CostModel."""
        return f"{self.model} on {self.host}"

    def forward_ns(self, new_tokens: Sequence[int], contexts: Sequence[int]) -> int:
        """See CostModel."""
        rows = check_rows(new_tokens, contexts)
        return grid_ns(rows, sum(new_tokens), sum(contexts), self.grid, 0)

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """What `grid_ns` takes: lengths of the three axes, the axes, and the forwards."""
        axes = (self.batches, self.new_tokens, self.contexts)
        forwards = (ns for plane in self.forward_grid_ns for line in plane for ns in line)
        return (*map(len, axes), *(point for axis in axes for point in axis), *forwards)

    def select_ns(self, rows: int, vocab_size: int, k: int) -> int:  # noqa: ARG002 - k hardly counts
        """See CostModel."""
        return self.select.at(rows * vocab_size)

    def encode_ns(self, rows: int, values: int) -> int:
        """See CostModel."""
        return rows * self.encode.at(values)

    def decode_ns(self, values: int) -> int:
        """See CostModel."""
        return self.decode.at(values)

    def steer_ns(self, vocab_size: int, iterations: int = 1) -> int:
        """See CostModel."""
        return iterations * self.steer.at(vocab_size)

    def choose_ns(self, vocab_size: int, rows: int = 1) -> int:
        """See CostModel."""
        return rows * self.choose.at(vocab_size)

    def kv_capacity_tokens(self) -> int:
        """See CostModel."""
        return self.kv_tokens


def grid_ns(rows: int, new: int, held: int, grid: Sequence[int], at: int) -> int:
    """One batched forward by what its rows add up to. Numbers only, for compiled code.

    Args:
        rows: of the batch.
        new: tokens to compute.
        held: tokens in the caches before.
        grid: `Calibrated.grid`.
        at: where it begins.
    """
    first = at + 3
    i, i_up, u = place(grid, first, grid[at], float(rows))
    first += grid[at]
    j, j_up, v = place(grid, first, grid[at + 1], new / rows)
    first += grid[at + 1]
    k, k_up, w = place(grid, first, grid[at + 2], held / rows)
    first += grid[at + 2]
    lines, points = grid[at + 1], grid[at + 2]
    low = plane_ns(grid, first + (i * lines + j) * points, (j_up - j) * points, k, k_up, v, w)
    high = plane_ns(grid, first + (i_up * lines + j) * points, (j_up - j) * points, k, k_up, v, w)
    return max(0, round(low + u * (high - low))) if u else round(low)


def plane_ns(
    grid: Sequence[int], line: int, step: int, k: int, k_up: int, v: float, w: float
) -> float:
    """A forward of so many rows, between two lines of a grid and two points of each.

    Args:
        grid: `Calibrated.grid`.
        line: where the line below begins.
        step: from there to the line above.
        k: the point below.
        k_up: the point above.
        v: share of the step between the lines.
        w: share of the step between the points.
    """
    start = grid[line + k] + w * (grid[line + k_up] - grid[line + k])
    end = grid[line + step + k] + w * (grid[line + step + k_up] - grid[line + step + k])
    return start + v * (end - start)


def place(axis: Sequence[int], first: int, count: int, x: float) -> tuple[int, int, float]:
    """Where x lies: (index below, index above, share of the step); a share over 1 is beyond.

    Args:
        axis: holds the grid's values along an axis, ascending.
        first: where they begin.
        count: how many they are.
        x: the value looked up.
    """
    if count == 1 or x <= axis[first]:
        return 0, 0, 0.0
    low = 0
    while low < count - 2 and axis[first + low + 1] <= x:
        low += 1
    below = axis[first + low]
    return low, low + 1, (x - below) / (axis[first + low + 1] - below)


def _one_line(error: ValidationError, where: str) -> NetsimError:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return NetsimError(f"{where}: {path + ': ' if path else ''}{first['msg']}; calibrate again")
