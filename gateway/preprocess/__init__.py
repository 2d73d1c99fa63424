"""Step 4 of 7: sanitized pixels become a tensor."""
