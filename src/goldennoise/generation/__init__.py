"""Images and pairs from methods, in batches that can be resumed."""
