"""Step 1 of 7: who may come in, and how often."""
