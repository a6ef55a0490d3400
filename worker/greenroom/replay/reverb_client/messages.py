"""Reverb's protocol messages, as far as this client speaks them.

Built in a descriptor pool of their own, under a package name of our own: so a
process may import ``reverb`` or TensorFlow too, whose own descriptors of these
messages would clash with ours in the default pool. Only field numbers and types
go over the wire, never names.

Some fields that are messages in Reverb's own files are declared ``bytes`` here,
which on the wire is the same: what is the same in every message is then compared
or sent as a whole, and read only where it differs.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE: Final = "/deepmind.reverb.ReverbService/"
_PACKAGE = "greenroom.reverb"

# Name and fields: "name number type", with "*" for repeated fields and "oneof:" for those of a
# oneof. Reverb 0.14.0's reverb_service.proto and schema.proto; TensorFlow 2.15's tensor.proto,
# tensor_shape.proto and struct.proto.
_MESSAGES = {
    # --- tensors and chunks
    "Dim": ["size 1 int64"],
    "TensorShape": ["dim 2 *Dim", "unknown_rank 3 bool"],
    "Tensor": ["dtype 1 int32", "tensor_shape 2 bytes", "tensor_content 4 bytes"],
    "ChunkTensors": ["tensors 1 *Tensor"],
    "SequenceRange": ["episode_id 1 uint64", "start 2 int32", "end 3 int32"],
    "Chunk": [
        "chunk_key 1 uint64",
        "sequence_range 2 SequenceRange",
        "delta_encoded 4 bool",
        "data 5 ChunkTensors",
        "data_tensors_len 6 int32",
        "data_uncompressed_size 7 int64",
    ],
    # --- items
    "ChunkSlice": ["chunk_key 1 uint64", "offset 2 int32", "length 3 int32", "index 4 int32"],
    "Column": ["chunk_slices 1 *ChunkSlice", "squeeze 2 bool"],
    "Trajectory": ["columns 1 *Column"],
    "Item": [
        "key 1 uint64",
        "table 2 string",
        "priority 5 double",
        "times_sampled 6 int32",
        "inserted_at 7 bytes",  # Timestamp
        "flat_trajectory 8 bytes",  # Trajectory
    ],
    # --- inserting
    "InsertRequest": ["chunks 1 *Chunk", "items 2 *Item", "keep_chunk_keys 3 *uint64"],
    "InsertResponse": ["keys 1 *uint64"],
    # --- sampling
    "Timeout": ["milliseconds 1 int64"],
    "SampleRequest": ["table 1 string", "num_samples 2 int64", "rate_limiter_timeout 3 Timeout"],
    "SampleInfo": [
        "item 1 Item",
        "probability 2 double",
        "table_size 3 int64",
        "rate_limited 4 bool",
    ],
    "SampleEntry": ["info 1 SampleInfo", "data 2 *Chunk", "end_of_sequence 3 bool"],
    "SampleResponse": ["entries 1 *SampleEntry"],
    # --- priorities
    "KeyWithPriority": ["key 1 uint64", "priority 2 double"],
    "MutateRequest": ["table 1 string", "updates 2 *KeyWithPriority"],
    # --- what a server says of its tables
    "TensorSpec": ["shape 2 TensorShape", "dtype 3 int32"],
    "Values": ["values 1 *Structure"],
    "Field": ["key 1 string", "value 2 Structure"],
    "Fields": ["fields 1 *Field"],
    "NamedFields": ["name 1 string", "fields 2 *Field"],
    "Nothing": [],
    "Structure": [
        "none 1 oneof:Nothing",
        "tensor_spec 33 oneof:TensorSpec",
        "bounded_tensor_spec 35 oneof:TensorSpec",
        "list 51 oneof:Values",
        "tuple 52 oneof:Values",
        "dict 53 oneof:Fields",
        "named_tuple 54 oneof:NamedFields",
    ],
    "CallStats": ["completed 2 int64"],
    "RateLimiterInfo": [
        "samples_per_insert 1 double",
        "min_diff 2 double",
        "max_diff 3 double",
        "min_size_to_sample 4 int64",
        "insert_stats 5 CallStats",
        "sample_stats 6 CallStats",
    ],
    "TableInfo": [
        "max_size 3 int64",
        "rate_limiter_info 5 RateLimiterInfo",
        "signature 6 Structure",
        "current_size 7 int64",
        "name 8 string",
    ],
    "ServerInfoResponse": ["table_info 2 *TableInfo"],
}

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint64": _Field.TYPE_UINT64,
}


def _add_field(message: descriptor_pb2.DescriptorProto, description: str) -> None:
    name, number, kind = description.split()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label = _Field.LABEL_REPEATED
    if kind.startswith("oneof:"):
        field.oneof_index = 0
    kind = kind.removeprefix("*").removeprefix("oneof:")
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="greenroom/reverb.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any("oneof:" in field for field in fields):
            message.oneof_decl.add(name="kind")
        for field in fields:
            _add_field(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _build()

Chunk: Any = _CLASSES["Chunk"]
InsertRequest: Any = _CLASSES["InsertRequest"]
InsertResponse: Any = _CLASSES["InsertResponse"]
Item: Any = _CLASSES["Item"]
MutateRequest: Any = _CLASSES["MutateRequest"]
SampleRequest: Any = _CLASSES["SampleRequest"]
SampleEntry: Any = _CLASSES["SampleEntry"]
SampleInfo: Any = _CLASSES["SampleInfo"]
SampleResponse: Any = _CLASSES["SampleResponse"]
ServerInfoResponse: Any = _CLASSES["ServerInfoResponse"]
TensorShape: Any = _CLASSES["TensorShape"]
Tensor: Any = _CLASSES["Tensor"]
Trajectory: Any = _CLASSES["Trajectory"]
