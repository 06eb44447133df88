"""Where values come from: real models, generated logits, or constants.

Every source is a pair of hosts, one for each side, that execute the machines' operations.
"""
