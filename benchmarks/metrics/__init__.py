"""Measures of answers as pure functions, a file each; shares are from 0 to 1."""
