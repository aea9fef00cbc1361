"""Networks on top of a frozen model, and their files."""
