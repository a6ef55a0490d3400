"""Roles: what each process of an experiment runs (`greenroom role NAME`)."""
