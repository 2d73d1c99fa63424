"""Measures de-identification: generated instances, an answer key, a scorer. Shares no table or code with the engine.

Read in this order: people and values (what is said), paths and build (where it stands), pixels, corpus, key (what must
become of it), adapters and peers (who does it), score and leaks (was it done), oracle (a run that is right, for testing
the scorer).
"""
