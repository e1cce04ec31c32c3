"""The student as ONNX graphs, for TensorRT and for anything else that runs them.

``step`` turns the transformer into graphs, ``memory`` says how self-attention reaches the KV cache in them (``native``:
standard ONNX operators; ``plugin``: nodes of the domain ``shotstream``), ``video`` and ``text`` turn the codec and the
text encoder into graphs, ``writer`` makes files of them all, ``runners`` executes them on a CPU, and ``rtx`` builds
engines of TensorRT for RTX. ``package`` does all of it for a bundle, and ``manifest`` describes the folder that comes
out. ``engine.graphs`` runs a rollout through the graphs.
"""
