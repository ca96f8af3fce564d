"""``python -m bedplate.cli`` is the ``bedplate`` command."""

from bedplate.cli.main import main

main()
