"""The comparison of vocabularies as a table."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.evaluation.bootstrap import Interval
from experiments.results.grid import ABSENT, Column, number, text_table
from experiments.results.intervals import interval_cell
from experiments.tokenizers.study import Standing


def tokenizers_text(found: Sequence[Standing], rows: int, width: int | None = None) -> str:
    """Return the table and what has to be known to read it."""
    columns = [
        Column("method", tuple(each.method for each in found), left=True),
        Column("tokens aligned by", tuple(each.way for each in found), left=True),
        _intervals("ROUGE-L", "", "text", [each.rouge_l for each in found]),
        _intervals("profile", "recall", "text", [each.profile_recall for each in found]),
        _intervals("fact", "recall", "text", [each.fact_recall for each in found]),
        _intervals("agreement", "", "with one vocabulary", [each.agreement for each in found]),
        _intervals("KL", "nats", "with one vocabulary", [each.kl_nats for each in found]),
        _numbers("down", "B/token", [each.bytes_down for each in found], 1),
        _numbers("up", "B/token", [each.bytes_up for each in found], 1),
        _numbers("certified", "share", [each.certified for each in found], 3),
        _numbers("speed", "tokens/s", [each.tokens_per_second for each in found], 2),
    ]
    note = (
        f"{rows} prompts; mean [95 % interval] over prompts. Agreement, KL: along the text that"
        " CoSteer with one vocabulary wrote, what each way would have chosen and how far its"
        " steered distribution is. The small models differ too: they were trained apart. Speed is"
        " per stream, simulated; looking ahead is charged as one more forward each."
    )
    return "\n".join([text_table(columns, width), note])


def _intervals(title: str, unit: str, group: str, cells: Sequence[Interval | None]) -> Column:
    shown = tuple(ABSENT if one is None else interval_cell(one) for one in cells)
    return Column(title, shown, unit, group)


def _numbers(title: str, unit: str, cells: Sequence[float | None], decimals: int) -> Column:
    return Column(title, tuple(number(one, decimals) for one in cells), unit)
