"""The documentation, held true."""
