"""Which noise level comes next."""
