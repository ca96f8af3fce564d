"""What primitives share when there is one process: the data in it, with the meaning that Redis gives it."""
