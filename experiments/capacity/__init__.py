"""How many devices one replica can serve, and what stops it from serving more.

`slo` says what is asked for, `changes` makes other scenarios of a scenario, `search` finds the
largest fleet, `probe` runs one fleet, `chain` is one search from beginning to end (a Ray task),
`study` carries all of them out, `verdict` says what limits, `tables`, `figures` and `page` show it.
"""
