"""What scorers with published weights are built from: networks, their weights, texts and preprocessing."""
