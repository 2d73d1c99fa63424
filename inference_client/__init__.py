"""Step 5 of 7: the client of the model server. Knows Triton and KServe v2, knows nothing of the gateway."""
