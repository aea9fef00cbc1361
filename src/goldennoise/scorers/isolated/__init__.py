"""Scorers in an environment of their own, as a child process."""
