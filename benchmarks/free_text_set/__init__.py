"""Free text benchmark: generated sentences of radiology with an answer key. Shares no table with the cleaner."""
