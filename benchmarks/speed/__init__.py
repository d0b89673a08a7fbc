"""The speed of models in this process: `demotic bench`."""
