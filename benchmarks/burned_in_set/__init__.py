"""The pictures of the burned-in text benchmark."""
