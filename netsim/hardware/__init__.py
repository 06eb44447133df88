"""What things cost, in integer nanoseconds: a model's shape, a device, and the time between.

`cost` is the seam (`CostModel`); `roofline` predicts from data sheets, `calibrated` interpolates
measured points, `fixed` says constants. Each answers with its `origin`. `variation` is how much
forwards of one shape differ.
"""

from netsim.hardware.cost import CostModel
from netsim.hardware.devices import HARDWARE, Hardware, hardware_named
from netsim.hardware.fixed import Fixed
from netsim.hardware.roofline import Roofline
from netsim.hardware.shapes import SHAPES, ModelShape, shape_named

__all__ = [
    "HARDWARE",
    "SHAPES",
    "CostModel",
    "Fixed",
    "Hardware",
    "ModelShape",
    "Roofline",
    "hardware_named",
    "shape_named",
]
