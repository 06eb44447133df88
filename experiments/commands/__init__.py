"""One module per command: its arguments, and thin code that calls what does the work.

Modules here import nothing heavy at their top: the parser needs all of them for `--help`.
"""
