"""Weights added to weights: adapters, averages, deltas and what a fine-tuning changed."""
