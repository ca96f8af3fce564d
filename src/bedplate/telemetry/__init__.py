"""What a running service says of itself: metrics, logs, traces, errors, and the request context that joins them."""
