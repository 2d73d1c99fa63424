"""The one-machine stack: a private Valkey and a real Triton, started and stopped together."""
