"""The student as ONNX graphs, for TensorRT and for anything else that runs them.

``step`` turns the transformer into one graph per kind of pass, ``memory`` says how self-attention reaches the KV cache in
it (``native``: standard ONNX operators; ``plugin``: nodes of the domain ``shotstream``), ``graphs`` runs a rollout through
such graphs, whoever executes them.
"""
