"""The terminal chat: it speaks to the HTTP endpoint and to nothing of the engine."""
