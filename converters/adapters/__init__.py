"""Adapters that PEFT saves (LoRA, DoRA): read, held against their base, merged into it or written as a GGUF."""
