"""What the documentation says of speed, made from the results files: tables, sentences, pictures."""
