"""A service's samples of itself: taken every few seconds, kept for a day, asked in PromQL."""
