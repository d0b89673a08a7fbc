"""How numbers, dates and names are written in the world's languages: readings of them, never a guess."""
