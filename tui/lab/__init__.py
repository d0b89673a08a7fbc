"""The language lab: one prompt to two to four columns, side by side, with figures and language fidelity."""
