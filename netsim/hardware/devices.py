"""Devices by name: what their data sheets promise and what share of it is reached.

Peaks are dense bf16 or fp16 with fp32 accumulation, without sparsity. The shares reached and the
overheads are declared: typical of tuned inference runtimes, not measured here. Whoever needs
better calibrates (netsim/hardware/calibrated.py). Power is that of a device at work, and what it
keeps of its speed when it works for minutes on end is declared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from netsim.errors import NetsimError
from netsim.names import lookup

_GB = 1_000_000_000
_TERA = 1_000_000_000_000
_CORE_SCAN_GB_S = 4.7


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device: an accelerator with its memory, and the host that feeds it."""

    name: str
    """What a scenario calls it."""
    memory_bandwidth: int
    """Peak of the memory that holds the weights, bytes/s."""
    peak_flops: int
    """Peak dense bf16 rate, flop/s."""
    memory_bytes: int
    """Memory for weights and KV cache."""
    launch_ns: int
    """Overhead per transformer block and forward: launches, synchronisation."""
    scan_bandwidth: int
    """What one pass over logits reaches, bytes/s: a small kernel on a GPU, one core on a CPU."""
    host_bandwidth: int
    """From accelerator memory to the encoder, bytes/s; the memory's own where they share it."""
    host_speed: float
    """One host core, relative to a core of the machine that measured the codec (1.0)."""
    host_cores: int
    """Host cores that encode at the same time."""
    source: str
    """Where the numbers come from, in words."""
    power_w: float
    """What it draws while it computes, watts."""
    power_source: str
    """Where that comes from, in words."""
    sustained_speed: float = 1.0
    """Share of its speed that is left once heat throttles it; 1 where cooling suffices."""
    memory_efficiency: float = 0.8
    """Share of `memory_bandwidth` that a decode reaches."""
    compute_efficiency: float = 0.6
    """Share of `peak_flops` that a prefill reaches."""
    usable_memory: float = 0.9
    """Share of `memory_bytes` for weights and KV cache."""

    def __post_init__(self) -> None:
        for name in (
            "memory_bandwidth", "peak_flops", "memory_bytes", "scan_bandwidth", "host_bandwidth",
            "host_speed", "host_cores", "memory_efficiency", "compute_efficiency", "usable_memory",
            "power_w", "sustained_speed",
        ):  # fmt: skip
            if not getattr(self, name) > 0:
                raise NetsimError(
                    f"hardware {self.name!r}: {name} = {getattr(self, name)}; it must be positive"
                )
        for name in (
            "memory_efficiency", "compute_efficiency", "usable_memory", "sustained_speed",
        ):  # fmt: skip
            if getattr(self, name) > 1:
                raise NetsimError(
                    f"hardware {self.name!r}: {name} = {getattr(self, name)}; "
                    f"it is a share, 0.8 for 80 %"
                )
        if self.launch_ns < 0:
            raise NetsimError(
                f"hardware {self.name!r}: launch_ns = {self.launch_ns}; it cannot be negative"
            )


def _gpu(name: str, gb_s: float, tflops: float, gb: float, watts: float, source: str) -> Hardware:
    """A data-centre or desktop card behind PCIe 4 (25 GB/s reached), host of 16 cores."""
    return Hardware(
        name=name,
        memory_bandwidth=round(gb_s * _GB),
        peak_flops=round(tflops * _TERA),
        memory_bytes=round(gb * _GB),
        launch_ns=10_000,
        scan_bandwidth=round(gb_s * _GB * 0.5),
        host_bandwidth=25 * _GB,
        host_speed=1.0,
        host_cores=16,
        source=source + "; efficiencies and overheads declared",
        power_w=watts,
        power_source="data sheet: largest board power, its host left out",
    )


def _edge(
    name: str,
    gb_s: float,
    tflops: float,
    gb: float,
    source: str,
    *,
    launch_ns: int,
    host_speed: float,
    usable_memory: float,
    power_w: float,
    power_source: str,
    sustained_speed: float = 1.0,
    scan_share: float | None = None,
) -> Hardware:
    """A board, phone or laptop: one memory for all, one core for the codec.

    `scan_share` is the share of the memory bandwidth that a pass over logits reaches on the
    accelerator; without one such passes run on one core, 4.7 GB/s at speed 1.0 as measured.
    """
    scan_gb_s = _CORE_SCAN_GB_S * host_speed if scan_share is None else gb_s * scan_share
    return Hardware(
        name=name,
        memory_bandwidth=round(gb_s * _GB),
        peak_flops=round(tflops * _TERA),
        memory_bytes=round(gb * _GB),
        launch_ns=launch_ns,
        scan_bandwidth=round(scan_gb_s * _GB),
        host_bandwidth=round(gb_s * _GB),
        host_speed=host_speed,
        host_cores=1,
        source=source + "; efficiencies and overheads declared",
        power_w=power_w,
        power_source=power_source,
        sustained_speed=sustained_speed,
        memory_efficiency=0.7,
        compute_efficiency=0.5,
        usable_memory=usable_memory,
    )


_ALL = (
    _gpu("h200", 4800, 989, 141, 700, "data sheet: NVIDIA H200 SXM"),
    _gpu("h100", 3350, 989, 80, 700, "data sheet: NVIDIA H100 SXM5"),
    _gpu("a100", 2039, 312, 80, 400, "data sheet: NVIDIA A100 SXM4 80 GB"),
    _gpu("l4", 300, 121, 24, 72, "data sheet: NVIDIA L4 (bf16 242 with sparsity)"),
    _gpu(
        "rtx4090",
        1008,
        165.2,
        24,
        450,
        "data sheet: NVIDIA Ada, GeForce RTX 4090, fp32 accumulation",
    ),
    _edge(
        "orin-agx",
        204.8,
        42.5,
        64,
        "data sheet: Jetson AGX Orin 64 GB; its GPU's 170 sparse int8 TOPS are 42.5 dense fp16",
        launch_ns=60_000,
        host_speed=0.5,
        usable_memory=0.85,
        power_w=60,
        power_source="data sheet: largest power mode of the module",
        scan_share=0.5,
    ),
    _edge(
        "orin-nano",
        68,
        10,
        8,
        "data sheet: Jetson Orin Nano 8 GB; 40 sparse int8 TOPS are 10 dense fp16",
        launch_ns=100_000,
        host_speed=0.4,
        usable_memory=0.65,
        power_w=15,
        power_source="data sheet: largest power mode of the module",
        scan_share=0.5,
    ),
    _edge(
        "orin-nano-super",
        102,
        16.7,
        8,
        "data sheet: Jetson Orin Nano Super; 67 sparse int8 TOPS are 16.7 dense fp16",
        launch_ns=80_000,
        host_speed=0.45,
        usable_memory=0.65,
        power_w=25,
        power_source="data sheet: largest power mode of the module",
        scan_share=0.5,
    ),
    _edge(
        "phone-npu",
        76.8,
        15,
        12,
        "data sheet: Snapdragon 8 Gen 3, LPDDR5X-4800; fp16 rate declared (the maker states int8 "
        "operations only), half the memory left to the model",
        launch_ns=100_000,
        host_speed=0.7,
        usable_memory=0.5,
        power_w=6,
        power_source="declared: the maker states none; what a phone's case gives off",
        sustained_speed=0.6,
    ),
    _edge(
        "laptop-cpu",
        89.6,
        1.0,
        16,
        "data sheet: two channels DDR5-5600; compute declared for 8 cores with AVX2 or AVX-512",
        launch_ns=20_000,
        host_speed=1.0,
        usable_memory=0.7,
        power_w=28,
        power_source="declared: base power of processors for thin laptops",
        sustained_speed=0.8,
    ),
)

HARDWARE: Mapping[str, Hardware] = MappingProxyType({device.name: device for device in _ALL})
"""Every named device. Memory in bytes of 10⁹ per GB."""


def hardware_named(name: str) -> Hardware:
    """The device called `name`; NetsimError names the nearest valid one."""
    return lookup(HARDWARE, name, "hardware")
