"""Many files at once, without the gateway: what `cordon deid` does. Steps 2 and 3 know nothing of it."""
