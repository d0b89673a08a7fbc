"""Tests of `runtime.models`."""
