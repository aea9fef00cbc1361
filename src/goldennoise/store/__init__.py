"""Artifacts: versioned folders with a record, their files, identity and origin."""
