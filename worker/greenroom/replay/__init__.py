"""Replay: tables of items that writers fill, samplers read, and a rate limiter paces."""
