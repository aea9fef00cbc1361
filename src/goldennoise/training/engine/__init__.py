"""Lightning training that continues as if never stopped."""
