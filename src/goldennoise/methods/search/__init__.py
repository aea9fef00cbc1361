"""Search by scores: candidates and the best so far, and a learnt Gaussian policy."""
