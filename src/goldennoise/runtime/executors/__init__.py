"""Who makes the units of an artifact: one file for each way."""
