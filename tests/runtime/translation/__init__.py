"""Tests of translation without a model."""
