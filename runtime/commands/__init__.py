"""The bodies of the commands, each imported only when it runs."""
