"""What is read and compared: prompts, pairs, images, the shapes world."""
