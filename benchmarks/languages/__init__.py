"""What the same meaning costs in each language: `demotic bench --languages`."""
