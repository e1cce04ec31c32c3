"""Every error that shotstream raises on purpose, split by what the caller can do next.

    ShotstreamError
    |-- ScriptError      fix the story, prompt or command
    |-- ConfigError      fix an option or a size
    |-- WeightsError     fix the bundle or the checkpoint
    |-- DeviceError      fix the install, or ask for another device
    |-- CapacityError    ask for less (memory, disk, length)
    |-- BridgeError      reconnect (its kinds are in ``bridge/faults.py``)
    |-- Aborted          nothing to fix: the work was cancelled on request
    `-- ClosedError      the film or engine was used after it was closed

A message says what was given, what was expected, and a remedy. Command line tools print it without a
traceback and exit with code 2.
"""


class ShotstreamError(Exception):
    """Base of all errors below; catch this one to catch everything that shotstream raises on purpose."""


class ScriptError(ShotstreamError):
    """A story file, prompt or command cannot be accepted as given."""


class ConfigError(ShotstreamError):
    """An option or a size is outside what can work."""


class WeightsError(ShotstreamError):
    """A bundle or checkpoint is missing, damaged, or belongs to another architecture."""


class DeviceError(ShotstreamError):
    """The device or package that was asked for is not available on this machine."""


class CapacityError(ShotstreamError):
    """A limit of memory, disk or length would be exceeded."""


class BridgeError(ShotstreamError):
    """The connection to the other process failed or was refused."""


class Aborted(ShotstreamError):
    """A block was abandoned between two denoising steps because the caller asked for it."""


class ClosedError(ShotstreamError):
    """The object was used after ``close()``."""
