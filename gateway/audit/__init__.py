"""Step 7 of 7: what happened, provably."""
