"""What the instances of a service share, and what each keeps for itself: limits, caches, locks."""
