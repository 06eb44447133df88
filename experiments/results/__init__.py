"""What a run wrote, as data frames and as numbers.

``load(run_dir)`` reads a run directory, finished or not. ``summarise`` makes ``summary.json`` of
rows, ``digests`` fingerprints them, ``tables`` prints them.
"""

from experiments.results.digests import digest, joined_digest, output_digest
from experiments.results.frames import Arm, Frames, arm_of, frames_of, per_request
from experiments.results.run import Run, load, load_parts
from experiments.results.summary import summarise

__all__ = [
    "Arm",
    "Frames",
    "Run",
    "arm_of",
    "digest",
    "frames_of",
    "joined_digest",
    "load",
    "load_parts",
    "output_digest",
    "per_request",
    "summarise",
]
