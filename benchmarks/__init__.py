"""Measurements: speed, load and quality, each with the machine it was taken on."""
