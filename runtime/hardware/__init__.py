"""What the machine has, and what to use of it."""
