"""Parts of the benchmarks of serving: other ways to serve one model, callers, and a model that computes nothing."""
