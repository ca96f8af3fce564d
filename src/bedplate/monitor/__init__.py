"""What watches a running service: who may ask, how it is, and the API that tells."""
