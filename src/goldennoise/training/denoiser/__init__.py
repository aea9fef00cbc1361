"""Training of a text-to-image model's denoiser: its data, its networks, its loss."""
