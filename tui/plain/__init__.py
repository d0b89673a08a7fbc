"""The chat without a screen: line by line, for pipes, dumb terminals and screen readers."""
