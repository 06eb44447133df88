"""What another vocabulary on the device costs: intersection and bytes beside one vocabulary."""
