"""Frozen text-to-image models behind one protocol, and re-denoise sampling on top of it."""
