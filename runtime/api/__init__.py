"""The HTTP endpoint. OpenAI's shapes live here and nowhere else."""
