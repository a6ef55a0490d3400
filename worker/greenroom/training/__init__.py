"""One training, however its parts are wired: what is due when, what it leaves, when it ends."""
