"""Step 6 of 7: logits become an answer."""
