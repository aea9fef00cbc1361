"""Under a table: what its numbers were measured on, and how."""

from goldennoise.evaluation.summary import Summary


def protocol_notes(summary: Summary) -> list[str]:
    """Two footnotes; none for a summary without a protocol."""
    if not summary.protocol:
        return []
    scorers = (f"{name} (version {info.version})" for name, info in summary.scorers.items())
    return [f"Protocol: {'; '.join(summary.protocol.values())}.", f"Scorers: {', '.join(scorers)}."]
