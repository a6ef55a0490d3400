"""What adders should write: slow and obvious, from the whole history of one environment."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import optree
from adder_streams import Step, Stream, make_action, make_extras, make_observation, position, stack

from greenroom.adders import EndOfEpisode

Episodes = list[list[Step]]
"""The last of them may be unfinished."""


def episodes_of(steps: list[Step | None]) -> Episodes:
    episodes: Episodes = [[]]
    for step in steps:
        if step is None:
            continue
        episodes[-1].append(step)
        if step.ended:
            episodes.append([])
    return episodes


def transitions(stream: Stream, episodes: Episodes, n: int, discount: float) -> list[Any]:
    items = []
    for episode in episodes:
        finished = bool(episode) and episode[-1].ended
        for start, step in enumerate(episode):
            following = episode[start : start + n]
            if len(following) < n and not finished:
                continue
            k, last = len(following), following[-1]
            item = {
                "observation": make_observation(stream.nested, step.env, step.episode, step.t),
                "action": make_action(stream.nested, step),
                "reward": np.float32(sum(discount**i * s.reward for i, s in enumerate(following))),
                "discount": np.float32(0.0 if last.terminated else discount**k),
                "next_observation": make_observation(
                    stream.nested, step.env, step.episode, step.t + k
                ),
            }
            if stream.with_extras:
                item["extras"] = make_extras(step)
            items.append(item)
    return items


def records(stream: Stream, episode: list[Step]) -> list[Any]:
    """Return the records of one episode, the final-observation record too if it is finished."""
    rows = []
    for step in episode:
        row = {
            "observation": make_observation(stream.nested, step.env, step.episode, step.t),
            "action": make_action(stream.nested, step),
            "reward": np.float32(step.reward),
            "terminated": np.bool_(step.terminated),
            "truncated": np.bool_(step.truncated),
            "first": np.bool_(step.t == 0),
            "mask": np.float32(1),
        }
        if stream.with_extras:
            row["extras"] = make_extras(step)
        rows.append(row)
    if episode and episode[-1].ended:
        last = episode[-1]
        final = make_observation(stream.nested, last.env, last.episode, last.t + 1)
        rows.append(optree.tree_map(np.zeros_like, rows[0]) | {"observation": final})
    return rows


def held_transitions(rows: list[Any]) -> set[tuple[float, ...]]:
    """Return the transitions in a sequence: each record that is one's, but the last."""
    return {tuple(position(row["observation"])) for row in rows[:-1] if row["mask"] == 1}


def sequences(
    stream: Stream,
    episodes: Episodes,
    length: int,
    period: int,
    end: EndOfEpisode,
    start: Sequence[str] = (),
) -> list[Any]:
    per_episode = [records(stream, episode) for episode in episodes]
    if end is EndOfEpisode.CONTINUE:
        runs = [(list(chain.from_iterable(per_episode)), False)]
    else:
        ended = [bool(episode) and episode[-1].ended for episode in episodes]
        runs = list(zip(per_episode, ended, strict=True))
    written: set[tuple[float, ...]] = set()
    items = []
    for rows, finished in runs:
        windows = [rows[start : start + length] for start in range(0, len(rows), period)]
        candidates = [window for window in windows if len(window) == length]
        if finished and end is EndOfEpisode.WRITE:
            candidates.append(rows[-length:])
        elif finished:
            candidates += [window for window in windows if len(window) < length]
        for candidate in candidates:
            if held_transitions(candidate) - written:
                written |= held_transitions(candidate)
                items.append(candidate)
    return [_started(stack(_padded(rows, length, end)), start) for rows in items]


def _started(item: Any, start: Sequence[str]) -> Any:
    """Move what is kept of the first record only from its extras to the item's start."""
    if not start:
        return item
    first = {name: optree.tree_map(lambda leaf: leaf[0], item["extras"][name]) for name in start}
    extras = {name: tree for name, tree in item["extras"].items() if name not in start}
    rest = {name: tree for name, tree in item.items() if name != "extras"}
    return rest | {"start": first} | ({"extras": extras} if extras else {})


def _padded(rows: list[Any], length: int, end: EndOfEpisode) -> list[Any]:
    if end is EndOfEpisode.TRUNCATE:
        return rows
    zeros = optree.tree_map(np.zeros_like, rows[0])
    return rows + [zeros] * (length - len(rows))


def whole_episodes(stream: Stream, episodes: Episodes) -> list[Any]:
    return [
        stack(records(stream, episode)) for episode in episodes if episode and episode[-1].ended
    ]
