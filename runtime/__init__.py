"""Serve a model: names to files, tokens to text, requests to answers. README.md walks one request through."""

import logging

# Whoever uses this as a library decides what is logged; the commands that serve set it up themselves.
logging.getLogger("demotic").addHandler(logging.NullHandler())
