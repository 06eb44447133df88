"""The compiled way: a fleet as arrays, its clock simulated, its rules those of the machines."""
