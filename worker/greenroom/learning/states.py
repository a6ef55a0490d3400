"""A part's state as two files: JSON for the tree, safetensors for its arrays. Never pickle.

    {"steps": 5, "network": {"weight": tensor}}

becomes ``NAME.json``, in which each array is a reference, and ``NAME.safetensors``::

    {"steps": 5, "network": {"weight": {"$array": "network/weight", "as": "torch"}}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError

from greenroom.core import State
from greenroom.specs import Array

REFERENCE = "$array"


def write_state(folder: Path, name: str, state: State) -> None:
    """Write ``state`` as NAME.json and NAME.safetensors.

    Raises:
        TypeError: a leaf is neither array, tensor nor JSON.
        OSError: the disk's own.
    """
    arrays: dict[str, Array] = {}
    tree = _replace_arrays(state, "", arrays)
    # Python's json writes floats so that they read back bit-equal, and nan and inf as such.
    (folder / f"{name}.json").write_text(json.dumps(tree))
    try:
        # Written from the arrays' own memory: a replay of many gigabytes is not copied.
        safetensors.numpy.save_file(arrays, folder / f"{name}.safetensors")
    except SafetensorError as error:
        raise OSError(None, str(error), str(folder)) from error


def read_state(folder: Path, name: str) -> State:
    """Read what `write_state` wrote.

    Raises:
        ValueError: the files are not such a state.
        OSError: the disk's own.
    """
    try:
        arrays = safetensors.numpy.load_file(folder / f"{name}.safetensors")
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    state: State = _put_arrays_back(json.loads((folder / f"{name}.json").read_text()), arrays)
    return state


def pack(state: State) -> bytes:
    """Return ``state`` as bytes, for another process of ours: the two files in one piece."""
    arrays: dict[str, Array] = {}
    tree = json.dumps(_replace_arrays(state, "", arrays)).encode()
    return len(tree).to_bytes(8, "little") + tree + safetensors.numpy.save(arrays)


def unpack(packed: bytes) -> State:
    """Return what `pack` was given."""
    end = 8 + int.from_bytes(packed[:8], "little")
    arrays = safetensors.numpy.load(packed[end:])
    state: State = _put_arrays_back(json.loads(packed[8:end]), arrays)
    return state


def _replace_arrays(node: Any, path: str, arrays: dict[str, Array]) -> Any:
    match node:
        case dict():
            assert all(isinstance(key, str) and "/" not in key for key in node), (path, list(node))
            return {
                key: _replace_arrays(value, f"{path}/{key}" if path else key, arrays)
                for key, value in node.items()
            }
        case torch.Tensor():
            tensor = node.detach().cpu().contiguous()
            arrays[path] = _to_numpy(tensor)
            return {REFERENCE: path, "as": str(tensor.dtype)}
        case np.ndarray():
            arrays[path] = np.ascontiguousarray(node).reshape(node.shape)
            return {REFERENCE: path, "as": "numpy"}
        case None | bool() | int() | float() | str() | list() | tuple():
            return node
    raise TypeError(f"A state's leaf must be an array or plain JSON. Got: {path} {type(node)}.")


def _put_arrays_back(node: Any, arrays: dict[str, Array]) -> Any:
    if not isinstance(node, dict):
        return node
    if REFERENCE not in node:
        return {key: _put_arrays_back(value, arrays) for key, value in node.items()}
    array = arrays[node[REFERENCE]]
    return array if node["as"] == "numpy" else _to_torch(array, node["as"])


def _to_numpy(tensor: torch.Tensor) -> Array:
    """As numpy; numpy has no bfloat16, whose bits travel as int16."""
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _to_torch(array: Array, dtype: str) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if dtype == "torch.bfloat16" else tensor
