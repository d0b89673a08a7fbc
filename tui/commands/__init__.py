"""The commands of the chat: lines of the prompt that begin with a slash."""
