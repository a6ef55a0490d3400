"""Learning: the loop around a learner, and checkpoints."""
