"""What pausing or relaxing steering saves, and what it costs in the text."""
