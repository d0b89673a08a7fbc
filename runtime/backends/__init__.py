"""The libraries that run a model's graph, each behind the same narrow Protocol."""
