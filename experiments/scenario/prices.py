"""What is paid for: declared by whoever asks what a token costs."""

from __future__ import annotations

from pydantic import Field

from experiments.scenario.section import Section


class PricesConfig(Section):
    """Prices, in US dollars; what is not given is not counted."""

    gpu_usd_per_hour: float | None = Field(default=None, ge=0, le=1e6)
    """One GPU for one hour, its host included, $."""
    gpus_per_replica: int = Field(default=1, ge=1, le=1024)
    """GPUs that one copy of the large model takes; the cost model knows one device alone."""
    egress_usd_per_gb: float | None = Field(default=None, ge=0, le=1e3)
    """10⁹ bytes out of the cloud, $."""
    source: str = "declared"
    """Where the prices are from, in words."""
