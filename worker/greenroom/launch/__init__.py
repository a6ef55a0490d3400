"""Launching: from an experiment to a run, in this process."""
