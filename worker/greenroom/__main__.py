"""``python -m greenroom`` is the ``greenroom`` command."""

from greenroom.cli.main import main

main()
