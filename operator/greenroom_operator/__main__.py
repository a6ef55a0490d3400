"""``python -m greenroom_operator``."""

from greenroom_operator.main import main

main()
