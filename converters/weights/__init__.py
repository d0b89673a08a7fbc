"""The files that checkpoints keep their weights in, one kind a file; each gives `Tensor`s by name."""
