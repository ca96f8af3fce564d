"""The project's own checks: what the linters on the market do not know about Bedplate."""
