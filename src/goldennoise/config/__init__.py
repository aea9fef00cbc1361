"""Options: composed by Hydra, decided by dataclasses. The only room that knows Hydra."""
