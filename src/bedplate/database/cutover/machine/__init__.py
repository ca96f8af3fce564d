"""The machine of a cutover: its states, the row that remembers them, the worker, and what is shown of it."""
