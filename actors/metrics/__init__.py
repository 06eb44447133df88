"""What a run says of itself while it runs: Prometheus families of its own registry.

Rules
-----
* Fed in batches by the recorder, whichever driver runs: rows are counted with numpy, and text is
  made when somebody asks. A scrape reads, it never waits for a driver.
* Never a device, request or run as a label; a label has at most ``MOST_VALUES`` values, whatever
  comes beyond is ``other``. So the number of series has a bound that no scenario can move.
* What is measured on the run's own clock is ``costeer_sim_…`` where that clock is simulated, and
  ``costeer_…`` where it is the wall's. One run has one clock; the two never meet in a series.
* Names follow vLLM's where both count the same; units are seconds, bytes and ratios.
"""

from actors.metrics.arm import ArmMetrics
from actors.metrics.cells import CellMetrics
from actors.metrics.exporter import Exporter
from actors.metrics.families import FAMILIES, NODE_FAMILIES, SIMULATED, WALL, Family
from actors.metrics.node import MeteredHost, NodeExporter
from actors.metrics.series import MOST_VALUES, OTHER, Metrics
from actors.metrics.states import DeviceStates

__all__ = [
    "FAMILIES",
    "MOST_VALUES",
    "NODE_FAMILIES",
    "OTHER",
    "SIMULATED",
    "WALL",
    "ArmMetrics",
    "CellMetrics",
    "DeviceStates",
    "Exporter",
    "Family",
    "MeteredHost",
    "Metrics",
    "NodeExporter",
]
