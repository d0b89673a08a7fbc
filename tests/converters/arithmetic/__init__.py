"""Tests of weights that are computed of weights."""
