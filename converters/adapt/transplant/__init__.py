"""A checkpoint with another tokenizer: which rows of the old vocabulary each new token's row is made of."""
