"""Which dashboards there are, and what each panel asks."""

from __future__ import annotations

from experiments.dashboards.panels import RANGE, RATE, Board, Panel, Query
from experiments.dashboards.ray_board import RAY

_QUANTILES = (0.5, 0.95, 0.99)


def _quantiles(histogram: str, by: str = "method") -> tuple[Query, ...]:
    group = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by ({group}) (rate({histogram}_bucket{RATE})))",
            f"p{q * 100:g}{legend}",
        )
        for q in _QUANTILES
    )


def _rate(counter: str, by: str) -> str:
    return f"sum by ({by}) (rate({counter}{RATE}))"


def _each_token(counter: str) -> Query:
    # Devices of one arm run one codec at a time: bytes over the tokens of the same moment.
    return Query(
        f"{_rate(counter, 'direction')} / ignoring(direction) group_left()"
        f" sum(rate(costeer_tokens_total{RATE}))",
        "{{direction}}",
    )


FLEET = Board(
    "costeer-fleet",
    "CoSteer: Fleet",
    "What runs, how far it is, and what its devices are doing.",
    (
        Panel(
            "Runs",
            "One series per run that is scraped; its value is always 1.",
            "none",
            (Query("max by (scenario, way, values) (costeer_run_info)", "{{scenario}}, {{way}}"),),
        ),
        Panel(
            "Devices by state",
            "Waiting for a request or its first token, decoding, or done with all requests.",
            "none",
            (Query("sum by (state) (costeer_devices)", "{{state}}"),),
            stacked=True,
        ),
        Panel(
            "Tokens per second of wall time",
            "How fast the laboratory makes tokens. In a simulated run this is no device's speed.",
            "ops",
            (Query(_rate("costeer_tokens_total", "method"), "{{method}}"),),
        ),
        Panel(
            "Tokens, and the most there can be",
            "Of the time shown. Texts that end early leave the arm below its most.",
            "none",
            (
                Query(f"sum by (method) (increase(costeer_tokens_total{RANGE}))", "{{method}}"),
                Query("sum(costeer_expected_tokens)", "most of the present arm"),
            ),
        ),
        Panel(
            "Requests that ended",
            "By reason: eos, length (of large fleets: ended), failed, left, or censored.",
            "none",
            (
                Query(
                    f"sum by (finished_reason) (increase(costeer_requests_total{RANGE}))",
                    "{{finished_reason}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Replicas of a large fleet",
            "Done or left, of the present arm: such a run counts a replica's tokens when it is "
            "done, not as they come.",
            "none",
            (Query("sum by (state) (costeer_cells)", "{{state}}"),),
            stacked=True,
        ),
        Panel(
            "Hosts made again",
            "Deaths of actors in the time shown; a simulated run's results do not know of them.",
            "none",
            (Query(f"sum by (role) (increase(costeer_host_restarts_total{RANGE}))", "{{role}}"),),
        ),
        Panel(
            "Driver lateness",
            "Live runs alone: how late frames were handed over. Above the links' delays the run's "
            "latencies say more of this machine than of the links.",
            "s",
            _quantiles("costeer_driver_lateness_seconds", ""),
        ),
    ),
    clocked=False,
)

LATENCY = Board(
    "costeer-latency",
    "CoSteer: Latency",
    "What a user waits for, at the device, by method.",
    (
        Panel(
            "Time to first token",
            "From the intended arrival of a request, waiting at the device included.",
            "s",
            _quantiles("${clock}time_to_first_token_seconds"),
        ),
        Panel(
            "Inter-token latency",
            "From one token to the next; the first is not in it.",
            "s",
            _quantiles("${clock}inter_token_latency_seconds"),
        ),
        Panel(
            "Request latency",
            "From the intended arrival of a request to its last token.",
            "s",
            _quantiles("${clock}e2e_request_latency_seconds"),
        ),
        Panel(
            "The run's pace",
            "Seconds of the run's clock that pass in one of the wall's; 1 in a live run.",
            "none",
            (Query(f"sum(rate(${{clock}}clock_seconds_total{RATE}))", "pace"),),
        ),
    ),
)

STAGES = Board(
    "costeer-stages",
    "CoSteer: Where a token's time goes",
    "The critical path of the tokens of the last minutes; the stages add up to their latency.",
    (
        Panel(
            "Mean time of each stage",
            "Work hidden behind a stage is not in it, so the stack is the mean latency.",
            "s",
            (
                Query(
                    f"{_rate('${clock}stage_seconds_sum', 'stage')}"
                    f" / {_rate('${clock}stage_seconds_count', 'stage')}",
                    "{{stage}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Share of each stage",
            "The same as parts of one.",
            "percentunit",
            (
                Query(
                    f"{_rate('${clock}stage_seconds_sum', 'stage')} / ignoring(stage) group_left()"
                    f" sum(rate(${{clock}}stage_seconds_sum{RATE}))",
                    "{{stage}}",
                ),
            ),
            stacked=True,
        ),
    ),
)

LINK = Board(
    "costeer-link",
    "CoSteer: Link",
    "What the exchange costs on the way.",
    (
        Panel(
            "Wire bytes per token",
            "With TCP/IP, TLS and HTTP/2 headers and the other direction's acknowledgements.",
            "bytes",
            (_each_token("costeer_link_bytes_total"),),
        ),
        Panel(
            "Frame bytes per token",
            "As encoded; OPEN, MORE and CLOSE included.",
            "bytes",
            (_each_token("costeer_frame_bytes_total"),),
        ),
        Panel(
            "Payload bytes per token",
            "What the codec made of logits, by codec.",
            "bytes",
            (
                Query(
                    f"{_rate('costeer_payload_bytes_total', 'codec')}"
                    f" / ignoring(codec) group_left() sum(rate(costeer_tokens_total{RATE}))",
                    "{{codec}}",
                ),
            ),
        ),
        Panel(
            "Payload's share of the wire",
            "What is left are frames' and packets' headers.",
            "percentunit",
            (
                Query(
                    f"sum(rate(costeer_payload_bytes_total{RATE}))"
                    f' / sum(rate(costeer_link_bytes_total{{direction="down"}}{RATE}))',
                    "down",
                ),
            ),
        ),
        Panel(
            "Packets per second of wall time",
            "By kind of link and direction.",
            "pps",
            (
                Query(
                    _rate("costeer_link_packets_total", "direction, link"), "{{link}} {{direction}}"
                ),
            ),
        ),
        Panel(
            "Utilisation of access links",
            "Mean over the devices of a kind: sending time at the nominal rate, of the run's own "
            "time. Links are mostly idle: a token's round trip is not its bytes.",
            "percentunit",
            (
                Query(
                    f"sum by (direction, link) (rate(${{clock}}link_busy_seconds_total{RATE}))"
                    " / on (link) group_left () sum by (link) (costeer_link_devices)"
                    f" / on () group_left () sum(rate(${{clock}}clock_seconds_total{RATE}))",
                    "{{link}} {{direction}}",
                ),
            ),
        ),
        Panel(
            "Utilisation of the cloud's egress",
            "Share of the run's own time in which it was sending; 0 where it has no limit.",
            "percentunit",
            (
                Query(
                    f"sum(rate(${{clock}}egress_busy_seconds_total{RATE}))"
                    f" / sum(rate(${{clock}}clock_seconds_total{RATE}))",
                    "egress",
                ),
            ),
        ),
    ),
)

CLOUD = Board(
    "costeer-cloud",
    "CoSteer: Cloud",
    "How the engine is loaded.",
    (
        Panel(
            "Rows of a forward",
            "How well continuous batching fills the model's batches.",
            "none",
            _quantiles("costeer_batch_rows", ""),
        ),
        Panel(
            "Sessions",
            "Running: with KV memory. Waiting: until some is free.",
            "none",
            (
                Query("sum(costeer_num_requests_running)", "running"),
                Query("sum(costeer_num_requests_waiting)", "waiting"),
            ),
        ),
        Panel(
            "KV memory",
            "Share that open sessions have reserved.",
            "percentunit",
            (Query("max(costeer_kv_cache_usage_ratio)", "reserved"),),
        ),
        Panel(
            "Tokens without the cloud",
            "Share that devices chose alone, after their cloud had not answered, by method.",
            "percentunit",
            (
                Query(
                    f"{_rate('costeer_fallback_tokens_total', 'method')}"
                    f" / {_rate('costeer_tokens_total', 'method')}",
                    "{{method}}",
                ),
            ),
        ),
        Panel(
            "Asked again, given up",
            "Of the time shown: frames that were sent again, requests that ended because no cloud"
            " answered.",
            "none",
            (
                Query(f"sum(increase(costeer_repeated_frames_total{RANGE}))", "sent again"),
                Query(
                    f'sum(increase(costeer_requests_total{{finished_reason="stalled"}}{RANGE}))'
                    " or vector(0)",
                    "given up",
                ),
            ),
        ),
        Panel(
            "Frames and sessions turned away",
            "Of the time shown: late or repeated frames; sessions that broke a rule, did not fit or"
            " fell silent; sessions evicted for want of memory, to be computed again.",
            "none",
            (
                Query(f"sum(increase(costeer_frames_dropped_total{RANGE}))", "frames dropped"),
                Query(f"sum(increase(costeer_sessions_refused_total{RANGE}))", "refused"),
                Query(f"sum(increase(costeer_sessions_timed_out_total{RANGE}))", "timed out"),
                Query(f"sum(increase(costeer_num_preemptions_total{RANGE}))", "preempted"),
            ),
        ),
    ),
    clocked=False,
)

_ACCEPTED = _rate("costeer_spec_decode_accepted_tokens_total", "method")

STEERING = Board(
    "costeer-steering",
    "CoSteer: Steering",
    "How often a device can prove its choice, and what it asks for where it cannot.",
    (
        Panel(
            "Certified tokens",
            "Share proved to be those of the whole vocabulary, by method.",
            "percentunit",
            (
                Query(
                    f"{_rate('costeer_certified_tokens_total', 'method')}"
                    f" / {_rate('costeer_tokens_total', 'method')}",
                    "{{method}}",
                ),
            ),
        ),
        Panel(
            "MORE requests per token",
            "Each is one more round trip on the token's critical path.",
            "none",
            (
                Query(
                    f"{_rate('costeer_refinement_rounds_total', 'method')}"
                    f" / {_rate('costeer_tokens_total', 'method')}",
                    "{{method}}",
                ),
            ),
        ),
        Panel(
            "Acceptance of drafts",
            "Right ones among those judged; what stands behind a wrong one is not judged.",
            "percentunit",
            (
                Query(
                    f"{_ACCEPTED} / ({_ACCEPTED}"
                    f" + {_rate('costeer_spec_decode_refutations_total', 'method')})",
                    "{{method}}",
                ),
            ),
        ),
        Panel(
            "Drafts per token",
            "Accepted ones save an exchange each; refuted ones went up in vain, unsent ones cost"
            " the device's time alone.",
            "none",
            tuple(
                Query(
                    f"{_rate(f'costeer_spec_decode_{kind}_tokens_total', 'method')}"
                    f" / {_rate('costeer_tokens_total', 'method')}",
                    f"{kind} {{{{method}}}}",
                )
                for kind in ("accepted", "refuted", "unsent")
            ),
        ),
    ),
    clocked=False,
)

BOARDS = (FLEET, LATENCY, STAGES, LINK, CLOUD, STEERING, RAY)
"""All of them, in reading order."""
