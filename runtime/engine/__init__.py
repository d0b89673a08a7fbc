"""Requests in, tokens out: schedule, forward, update."""
