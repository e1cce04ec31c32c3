"""A stand-in for TensorRT's runtime on a CPU: same calls, same addresses, ONNX Runtime behind them.

A "plan" is the path of an ONNX file and its profiles. Like the real one it reads and writes raw addresses, so whoever
binds wrongly gets wrong pictures; unlike the real one it is no proof that TensorRT computes anything.
"""

import contextlib
import ctypes
import enum
import types

import numpy as np
import onnxruntime
import torch

from shotstream.engine.bindings import DTYPES
from shotstream.engine.tensorrt_graph import LoadedEngine

DataType = enum.Enum("DataType", list(DTYPES))
TensorIOMode = enum.Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
TensorLocation = enum.Enum("TensorLocation", ["DEVICE", "HOST"])
trt = types.SimpleNamespace(DataType=DataType, TensorIOMode=TensorIOMode, TensorLocation=TensorLocation)

KINDS = {
    "tensor(float)": DataType.FLOAT,
    "tensor(int64)": DataType.INT64,
    "tensor(int32)": DataType.INT32,
    "tensor(bool)": DataType.BOOL,
}


class Engine:
    def __init__(self, path, profiles=()):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.ins = {one.name: one for one in self.session.get_inputs()}
        self.outs = {one.name: one for one in self.session.get_outputs()}
        self.profiles = list(profiles)
        self.aliased = {name: name.replace("written_", "cache_") for name in self.outs if name.startswith("written_")}
        self.host = set()
        self.contexts = []
        self.fixed = {
            name: [size if isinstance(size, int) else -1 for size in one.shape]
            for name, one in (self.ins | self.outs).items()
        }

    num_io_tensors = property(lambda self: len(self.ins) + len(self.outs))
    num_optimization_profiles = property(lambda self: max(1, len(self.profiles)))

    def get_tensor_name(self, index):
        return [*self.ins, *self.outs][index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name in self.ins else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return KINDS[(self.ins | self.outs)[name].type]

    def get_tensor_shape(self, name):
        return self.fixed[name]

    def get_tensor_location(self, name):
        return TensorLocation.HOST if name in self.host else TensorLocation.DEVICE

    def get_tensor_profile_shape(self, name, index):
        shapes = self.profiles[index] if self.profiles else {}
        return shapes.get(name, (self.fixed[name],) * 3)

    def get_aliased_input_tensor(self, name):
        return self.aliased.get(name, "")

    def create_execution_context(self):
        self.contexts.append(Context(self))
        return self.contexts[-1]


class Context:
    def __init__(self, engine):
        self.engine, self.shapes, self.addresses = engine, {}, {}
        self.profile, self.runs, self.fails = None, 0, False

    def set_optimization_profile_async(self, index, stream):
        self.profile = index
        return True

    def set_input_shape(self, name, shape):
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def get_tensor_shape(self, name):
        outputs = self._run({one: np.zeros(shape, self._type(one)) for one, shape in self.shapes.items()})
        return outputs[name].shape

    def execute_async_v3(self, stream):
        if self.fails:
            return False
        addresses = dict(self.addresses)  # what a captured launch keeps, whatever is bound later
        StandInStream.of(stream).put(lambda: self._launch(addresses))
        return True

    def _launch(self, addresses):
        self.runs += 1
        given = {name: at(addresses[name], shape, self._type(name)).copy() for name, shape in self.shapes.items()}
        for name, value in self._run(given).items():
            at(addresses[name], value.shape, value.dtype)[...] = value

    def _run(self, inputs):
        return dict(zip(self.engine.outs, self.engine.session.run(None, inputs), strict=True))

    def _type(self, name):
        return torch.empty(0, dtype=DTYPES[self.engine.get_tensor_dtype(name).name]).numpy().dtype


def at(address, shape, dtype):
    """The array that lies at an address."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * max(1, size)).from_address(address), dtype, int(np.prod(shape))).reshape(
        shape
    )


class StandInStream:
    """Does at once what is put on it, or keeps it while capturing."""

    known: dict = {}  # noqa: RUF012

    def __init__(self):
        self.handle = len(self.known) + 1
        self.known[self.handle] = self
        self.recording = None
        self.captures = 0

    @classmethod
    def of(cls, handle):
        return cls.known[handle]

    def put(self, launch):
        if self.recording is None:
            launch()
        else:
            self.recording.append(launch)

    def entered(self):
        return contextlib.nullcontext()

    def follow_caller(self):
        pass

    def lead_caller(self):
        pass

    def capture(self, run):
        self.captures += 1
        self.recording = recording = []
        try:
            run()
        finally:
            self.recording = None
        return lambda: [launch() for launch in recording]


def loaded(path, profiles=()):
    return LoadedEngine(
        trt=trt, engine=Engine(path, profiles), runtime=None, log=types.SimpleNamespace(errors=["it broke"])
    )
