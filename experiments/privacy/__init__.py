"""What steering reveals of the private context: observers guess it, and are counted."""
