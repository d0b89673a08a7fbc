"""OpenAI's request and response shapes, one file an endpoint."""
