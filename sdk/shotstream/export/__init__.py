"""The student as ONNX graphs, for TensorRT and for anything else that runs them.

``step`` turns the transformer into graphs, ``memory`` says how self-attention reaches the KV cache in them (``native``:
standard ONNX operators; ``plugin``: nodes of the domain ``shotstream``), ``writer`` makes files of them, ``runners``
executes them on a CPU, and ``rtx`` builds engines of TensorRT for RTX. ``engine.graphs`` runs a rollout through them.
"""
