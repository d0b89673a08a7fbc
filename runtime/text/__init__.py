"""Between text and token ids, without ever breaking a character."""
