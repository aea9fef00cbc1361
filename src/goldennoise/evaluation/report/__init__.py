"""From a scores artifact to one self-contained page, and the same tables as Markdown and LaTeX."""
