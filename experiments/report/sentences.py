"""What a run says in words, written from its numbers and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from costeer.token_record import STAGES
from experiments.results.grid import number, significant
from experiments.results.labels import Row, arm_labels, whole_arms
from experiments.results.summary import ALL
from experiments.results.tables import STAGE_TITLES, alone_note

_NETWORK = ("uplink", "downlink")
_CLOUD = ("cloud_queue", "cloud_compute", "select_encode")
_DEVICE = ("decode", "edge_wait", "steer", "overhead")
_FIRST_CHOICE = ("costeer", "light_costeer")
_MS = 1e3


def summary_sentences(rows: Sequence[Row]) -> list[str]:
    """Return three sentences on a run's main arm: what it says, how fast, what it sends.

    The main arm is ``costeer`` where there is one, else the first.
    """
    arms = [row for row in whole_arms(rows) if row["tokens"]]
    if not arms:
        return ["No token was generated."]
    labels = dict(zip((row["arm"] for row in arms), arm_labels(arms), strict=True))
    main = arms[0]
    for name in reversed(_FIRST_CHOICE):
        main = next((row for row in arms if row.get("method") == name), main)
    others = [row for row in arms if row is not main]
    name = labels[main["arm"]]
    return [
        _on_text(main, others, name, labels),
        _on_time(main, name),
        _on_bytes(main, others, name, labels),
    ]


def _on_text(main: Row, others: Sequence[Row], name: str, labels: Mapping[int, str]) -> str:
    rouge = main["quality"].get("rouge_l")
    if not rouge:
        tokens = sum(row["tokens"] for row in (main, *others))
        requests = main["requests"]
        return (
            f"{_count(len(others) + 1, 'arm')} answered {_count(requests, 'request')} each with "
            f"{tokens:,} tokens in all; the texts were not scored."
        )
    recall = main["quality"].get("profile_recall")
    with_facts = f" with {_percent(recall['mean'])} of the profile's facts" if recall else ""
    beside = [
        f"{labels[row['arm']]} {row['quality']['rouge_l']['mean']:.2f}"
        for row in others
        if "rouge_l" in row["quality"]
    ]
    against = f"; in ROUGE-L, {_listed(beside)}" if beside else ""
    return (
        f"Over {rouge['n']} requests {name} writes texts of ROUGE-L {rouge['mean']:.2f} "
        f"(95 % interval {rouge['low']:.2f} to {rouge['high']:.2f}){with_facts}{against}."
    )


def _on_time(main: Row, name: str) -> str:
    itl, stages = main["itl_s"], main["itl_breakdown_s"]
    said = (
        f"A stream of {name} runs at {significant(main['tokens_per_second'])} tokens/s: its first "
        f"token comes after {_ms(main['ttft_s']['p50'])} ms (median)"
    )
    if itl["mean"] is None:
        return f"{said}."
    parts = [
        f"{_percent(sum(stages[stage] for stage in group) / itl['mean'])} {who}"
        for group, who in (
            (_NETWORK, "on the network"),
            (_CLOUD, "in the cloud"),
            (_DEVICE, "at the device"),
            (("refinement",), "in refinement"),
        )
        if sum(stages[stage] for stage in group) > 0
    ]
    return (
        f"{said}, the next ones every {_ms(itl['p50'])} ms (median; 95 % within "
        f"{_ms(itl['p95'])} ms), and a token's mean time passes {_listed(parts)}."
    )


def _on_bytes(main: Row, others: Sequence[Row], name: str, labels: Mapping[int, str]) -> str:
    said = (
        f"A token of {name} moves {_per_token(main, 'frame', 'down')} B down and "
        f"{_per_token(main, 'frame', 'up')} B up as frames, {_per_token(main, 'wire', 'down')} and "
        f"{_per_token(main, 'wire', 'up')} B on the wire"
    )
    prompt = main["quality"].get("facts_in_prompt_share")
    tokens = main["quality"].get("facts_in_tokens_share")
    if not prompt or not tokens:
        return f"{said}."
    shown = next((row for row in others if _sees(row) > _sees(main)), None)
    against = (
        f", where {labels[shown['arm']]} shows it {_percent(_sees(shown))} in the prompt"
        if shown
        else ""
    )
    return (
        f"{said}; of the profile's facts the cloud finds {_percent(prompt['mean'])} in the prompt "
        f"and {_percent(tokens['mean'])} in the tokens{against}."
    )


def _sees(row: Row) -> float:
    return float(row["quality"].get("facts_in_prompt_share", {}).get("mean", 0.0))


def scale_sentence(rows: Sequence[Row]) -> str:
    """Return how much was run, and how much of it did not reach its end."""
    arms = whole_arms(rows)
    classes = sorted({row["link_class"] for row in rows} - {ALL})
    lost = [
        f"{n} {what}"
        for key, what in (("failed", "failed"), ("censored", "cut off by the end of the run"))
        if (n := sum(row[f"requests_{key}"] for row in arms))
    ]
    requests, tokens = (sum(row[key] for row in arms) for key in ("requests", "tokens"))
    said = (
        f"{_count(len(arms), 'arm')}, {_count(requests, 'request')} and {tokens:,} tokens over "
        f"{_count(len(classes), 'link class', 'link classes')} ({_listed(classes)}); "
        f"{_listed(lost) or 'every request reached its end'}."
    )
    return f"{said} {alone_note(rows)}".rstrip()


def stage_sentence(rows: Sequence[Row]) -> str:
    """Return how the slowest and the fastest arm of one method differ per token, and where.

    Empty where there is one arm, or several methods: they do different work.
    """
    arms = [row for row in whole_arms(rows) if row["itl_s"]["mean"]]
    if len(arms) <= 1 or len({row.get("method") for row in arms}) > 1:
        return ""
    labels = dict(zip((row["arm"] for row in arms), arm_labels(arms), strict=True))
    slow = max(arms, key=lambda row: row["itl_s"]["mean"])
    fast = min(arms, key=lambda row: row["itl_s"]["mean"])
    gap = {
        stage: slow["itl_breakdown_s"][stage] - fast["itl_breakdown_s"][stage] for stage in STAGES
    }
    most = max(gap, key=lambda stage: gap[stage])
    ratio = slow["itl_s"]["mean"] / fast["itl_s"]["mean"]
    return (
        f"After the first, a token takes {_ms(slow['itl_s']['mean'])} ms with "
        f"{labels[slow['arm']]} and {_ms(fast['itl_s']['mean'])} ms with {labels[fast['arm']]} "
        f"(means), {significant(ratio, 2)} times less; most of the difference, "
        f"{_ms(gap[most])} ms, lies in: {STAGE_TITLES[most]}."
    )


def live_sentence(live: Sequence[Row], virtual: Sequence[Row]) -> str:
    """Return how the first live arm's latency compares with its prediction."""
    ours, theirs = whole_arms(live), whole_arms(virtual)
    if not ours or not theirs or not ours[0]["itl_s"]["p50"] or not theirs[0]["itl_s"]["p50"]:
        return ""
    lived, predicted = ours[0], theirs[0]
    ratios = [lived["itl_s"][key] / predicted["itl_s"][key] for key in ("p50", "p95")]
    late = lived.get("lateness_s", {}).get("p95")
    lateness = f"; 95 % of frames were at most {_ms(late)} ms late" if late is not None else ""
    return (
        f"Live, a token after the first took {_ms(lived['itl_s']['p50'])} ms (median) and "
        f"{_ms(lived['itl_s']['p95'])} ms (p95): {ratios[0]:.2f} and {ratios[1]:.2f} times what "
        f"was predicted{lateness}."
    )


def _per_token(row: Row, kind: str, way: str) -> str:
    return significant(row[f"{kind}_bytes_{way}_per_token"])


def _ms(seconds: float | None) -> str:
    return significant(None if seconds is None else seconds * _MS)


def _percent(share: float) -> str:
    return f"{number(share * 100, 0)} %"


def _count(n: int, what: str, several: str = "") -> str:
    return f"{n:,} {what if n == 1 else several or what + 's'}"


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
