"""The ``greenroom`` command. Each file is one sub-command; heavy imports wait inside them."""
