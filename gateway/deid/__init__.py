"""Step 3 of 7: identifiable becomes sanitized."""
