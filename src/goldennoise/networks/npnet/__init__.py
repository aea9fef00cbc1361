"""NPNet, the network that predicts golden noise from source noise and prompt (arXiv 2411.09502), in pure torch."""
