"""Tests of the converters that make a model one for certain languages."""
