"""Pages: what people look at: the chat page and the operator's console, and their files."""
