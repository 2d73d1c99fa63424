"""Step 2 of 7: bytes become a decoded image; hostile until proven."""
