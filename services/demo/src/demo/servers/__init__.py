"""Real servers from packages, each in a folder of its own: `make demo-production` and tests run services on them."""
