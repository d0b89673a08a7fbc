"""Files of tasks, put to an endpoint and scored by language: `run.py` is the way of all of them."""
