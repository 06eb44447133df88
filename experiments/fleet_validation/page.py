"""What was found, as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from experiments.fleet_validation.comparison import Difference
from experiments.fleet_validation.live import LiveOutcome
from experiments.fleet_validation.middle import MiddleOutcome

_INTRODUCTION = """# Compiled fleets beside what they stand for

`make validate-fleet` holds `way: fleet` against two things: devices with real models in simulated
time, and this machine. This page is what the command wrote. (That the compiled way equals `way:
virtual` event by event on equal values, and SimPy to the nanosecond, is held by tests.)"""

_MIDDLE = """The shipped pair answers {devices:,} devices' prompts in simulated time (`way: virtual`
on Ray, forwards charged as 7B and 1.5B models on named hardware): that is the first half. What its
sessions said becomes a profile (`costeer record-profile`). A second half, {devices:,} devices with
other prompts (held-out personas, none of the first half's), other links and other times, is run
with the real pair too, and once more as a compiled fleet that knows nothing of it but its links and
times, and replays the profile. Compared are the second half and that fleet.

Allowed are 2 % of a mean and 5 % of a 99th percentile, or half of the 95 % interval of the
difference where that is wider: a bootstrap over devices, drawn on both sides at once, since both
have the same links and times, and together where they replay the same session. {tokens:,} tokens
were judged."""

_LIVE = """The shipped pair serves devices on this machine against the wall's clock (`way: live`, a
cloud actor and a shard of devices on Ray, links waited out). Judging runs and calibrating ones take
turns, after one that counts for nothing; both have the same load (the same number of devices, the
same limits), and no two runs share prompts, links or draws. From the calibrating ones come
constant costs: lines through the times of the cloud's forwards and selects, and what a device
waited for decode, small model and steer in the shard's queue. They are costs under contention:
cloud, devices and Ray share the machine's cores. For each of {repeats} judging runs a compiled
fleet charged with their means, and with forwards that lie as far from their line as measured,
replays a calibrating run's profile over the judging run's links; means over the runs are compared.

Allowed are 5 %, or twice the standard deviation from run to run where that is wider."""


def page(
    middle: MiddleOutcome | None,
    live: Sequence[LiveOutcome],
    images: Sequence[str],
    machine: str,
    took_s: float,
) -> str:
    """Return the page in Markdown.

    Args:
        middle: what was found at the middle scale; None if it was left out.
        live: what was found on this machine.
        images: of the middle scale (two) and of the loads (one), as far as there are any.
        machine: where.
        took_s: how long the whole took; runs that were kept from before are not in it.
    """
    parts = [
        _INTRODUCTION,
        f"On {machine}, in {took_s / 60:.1f} minutes; simulated runs that were kept are not in it.",
    ]
    if middle is not None:
        parts += _middle(middle, images[:2])
    if live:
        parts += _live(live, images[2:] if middle is not None else images)
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def _middle(outcome: MiddleOutcome, images: Sequence[str]) -> list[str]:
    devices = outcome.design.judged.devices
    found = [each for arm in outcome.arms for each in arm.differences]
    missed = sum(not each.within for each in found)
    parts = [
        f"## {devices:,} devices with real models",
        _MIDDLE.format(devices=devices, tokens=outcome.tokens),
        f"{len(found) - missed} of {len(found)} figures lie within what is allowed.",
    ]
    parts += [
        f"### {arm.method}\n\n" + _table(_MIDDLE_HEADS, map(_difference, arm.differences))
        for arm in outcome.arms
    ]
    parts += [f"![{_ALTERNATIVES[at]}]({image})" for at, image in enumerate(images)]
    for arm in outcome.arms:
        if arm.correlation:
            profile, replay, judge = (float(each[0]) for each in arm.correlation)
            parts.append(
                f"A token's payload and the next one's ({arm.method}): correlation {profile:.3f} in"
                f" the profile, {replay:.3f} in its replay, {judge:.3f} in the second half."
            )
    return parts


_MIDDLE_HEADS = ("figure", "", "real models", "compiled", "difference", "allowed", "within")
_ALTERNATIVES = (
    "How often times and sizes are exceeded, real models beside the compiled fleet",
    "Correlation of payload bytes over distance in tokens",
)


def _difference(each: Difference) -> tuple[str, ...]:
    uncertain = each.uncertain / abs(each.real) if each.real else 0.0
    allowed = max(each.allowed, uncertain)
    return (
        each.figure,
        each.statistic,
        f"{each.real:,.2f}",
        f"{each.told:,.2f}",
        f"{each.share:+.2%}",
        f"{allowed:.1%}" + (" (interval)" if uncertain > each.allowed else ""),
        "yes" if each.within else "**no**",
    )


def _live(outcomes: Sequence[LiveOutcome], images: Sequence[str]) -> list[str]:
    repeats = len(outcomes[0].figures[0].measured)
    found = [each for outcome in outcomes for each in outcome.figures]
    missed = sum(not each.within for each in found)
    rows = [
        (
            f"{outcome.point.method}, {outcome.point.devices} devices"
            + (", beyond" if outcome.point.beyond else ""),
            figure.name,
            f"{figure.mean:,.2f}",
            f"{figure.spread:.1%}",
            f"{figure.predicted:,.2f}",
            f"{figure.error:+.1%}",
            f"{figure.allowed:.1%}",
            "yes" if figure.within else "**no**",
        )
        for outcome in outcomes
        for figure in outcome.figures
    ]
    heads = ("load", "figure", "live", "run to run", "predicted", "error", "allowed", "within")
    return [
        "## This machine",
        _LIVE.format(repeats=repeats),
        f"{len(found) - missed} of {len(found)} figures lie within what is allowed.",
        _table(heads, rows),
        "Where the cloud stands, and what the predictions were charged with:",
        _table(_COST_HEADS, map(_costs, outcomes)),
        *(f"![Times between tokens, live and predicted]({image})" for image in images),
    ]


_COST_HEADS = (
    "load",
    "rows a forward, live and predicted",
    "time in the cloud's queue, live and predicted",
    "forward, ms",
    "select, ms",
    "small model, ms",
    "decode + steer, ms",
)


def _costs(outcome: LiveOutcome) -> tuple[str, ...]:
    cloud, edge = outcome.costs.cloud, outcome.costs.edge
    forward = (
        f"{cloud.forward / 1e6:.2f} + {cloud.forward_per_row / 1e6:.2f} a row"
        f" + {cloud.forward_per_token / 1e6:.2f} a token"
    )
    chosen = cloud.choose or cloud.select
    return (
        f"{outcome.point.method}, {outcome.point.devices} devices",
        f"{outcome.rows[0]:.2f}, {outcome.rows[1]:.2f}",
        f"{outcome.waiting[0]:.0%}, {outcome.waiting[1]:.0%}",
        forward,
        f"{chosen / 1e6:.2f}",
        f"{edge.forward / 1e6:.2f} + {edge.forward_per_token / 1e6:.2f} a token",
        f"{(edge.decode + edge.steer) / 1e6:.2f}",
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
