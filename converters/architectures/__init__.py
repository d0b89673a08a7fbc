"""One short file a family of models, over the pipeline of `base.py`; `registry.py` finds the family of a checkpoint."""
