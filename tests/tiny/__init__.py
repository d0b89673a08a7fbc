"""Makers of tiny random checkpoints, small enough for a test and sound enough to run."""
