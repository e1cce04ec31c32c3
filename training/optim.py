"""Optimizer and weight averaging: orthogonalised momentum for matrices, Adam for everything else.

Matrices inside the transformer take steps whose singular values are all about one ("Muon", Jordan et al. 2024).
The version here stays in float32 and treats matrices of one shape as a batch, as suits a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """Semi-orthogonal matrices near those given, ``(n, rows, columns)``, rows <= columns; singular values 0.7..1.2."""
    a, b, c = _NEWTON_SCHULZ
    x = matrices / (matrices.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised per matrix; matrices of one shape are processed as one batch."""

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(tuple(parameter.shape), []).append(parameter)
            for (rows, columns), parameters in shapes.items():
                updates = [self._momentum(parameter, group["momentum"]) for parameter in parameters]
                stacked = torch.stack([u.mT if rows > columns else u for u in updates])
                size = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(parameters, orthogonalise(stacked), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(update.mT if rows > columns else update, alpha=size)

    def _momentum(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum"]
        buffer.lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(buffer, momentum)


class Optimizers:
    """Muon for the matrices of the transformer's layers, AdamW for the rest; one learning rate drives both."""

    ADAM_PER_MUON = 0.1

    def __init__(self, model: nn.Module, lr: float) -> None:
        self.lr = lr
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if name.startswith("blocks.") and p.ndim == 2]
        chosen = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in chosen]
        self._muon = Muon(matrices, lr=lr)
        self._adam = torch.optim.AdamW(rest, lr=lr * self.ADAM_PER_MUON, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, fraction: float) -> None:
        """Take one step at ``fraction`` of the full learning rate, and clear the gradients."""
        for optimizer, lr in ((self._muon, self.lr), (self._adam, self.lr * self.ADAM_PER_MUON)):
            for group in optimizer.param_groups:
                group["lr"] = lr * fraction
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self._muon.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._muon.load_state_dict(state["muon"])
        self._adam.load_state_dict(state["adam"])


def warm_constant_cool(progress: float, step: int, cooldown: float, warmup_steps: int = 60) -> float:
    """Fraction of the learning rate: linear warm-up, constant, then linear to a twentieth during ``cooldown``."""
    warm = min(1.0, (step + 1) / warmup_steps)
    cool = min(1.0, (1 - progress) / cooldown) if cooldown > 0 else 1.0
    return warm * max(cool, 0.05)


class WeightAverage:
    """Exponential moving average of a model's parameters; young averages forget faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.count = 0
        self.values = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.count += 1
        decay = min(self.decay, self.count / (self.count + 9))
        for name, parameter in model.named_parameters():
            self.values[name].lerp_(parameter, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        for name, value in state["values"].items():
            self.values[name].copy_(value)
