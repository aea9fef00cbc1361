"""Training of a time predictor by the scores of the images that its schedules give (TPDM, arXiv 2412.01243)."""
