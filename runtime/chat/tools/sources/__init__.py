"""Where tools come from: MCP servers and Python functions."""
