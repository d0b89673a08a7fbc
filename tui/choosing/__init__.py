"""What a person may choose in the chat: model, adapter, language lock, sampling."""
