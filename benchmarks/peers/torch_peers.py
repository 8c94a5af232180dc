"""PyTorch: what a student writes, and its own answer to training many models at once, `torch.func`.

On a CPU the number of threads is the faster of one and one per core; where PyTorch has a GPU, it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.peers.loops import Loop, num_cores
from benchmarks.workloads import CLASSES, Arrays, Workload

torch: Any = importlib.import_module("torch")  # of no type, so that types can be checked where it is not installed
Step = Callable[[Any, Any], None]


def make_model(workload: Workload) -> Any:
    """The network."""
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(workload.features, workload.hidden), nn.Sigmoid(), nn.Linear(workload.hidden, CLASSES)
    )


def one_by_one(workload: Workload, arrays: Arrays) -> Mapping[str, Loop]:
    """Each member by itself, step by step: a call trains one of them, the next call the next."""
    device, steps = _device(), 20
    inputs, labels = (torch.from_numpy(array).to(device) for array in arrays)
    models = [make_model(workload).to(device) for _ in range(workload.members)]
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=rate)
        for model, rate in zip(models, workload.learning_rates * workload.seeds, strict=True)
    ]
    loss_fn = torch.nn.CrossEntropyLoss()
    turn = 0

    def train() -> None:
        nonlocal turn
        model, optimizer = models[turn % workload.members], optimizers[turn % workload.members]
        for _ in range(steps):
            rows = torch.randint(len(inputs), (workload.batch,), device=device)
            optimizer.zero_grad()
            loss_fn(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
        turn += 1

    return _with_threads({"": Loop(train, steps)}, device)


def many_at_once(workload: Workload, arrays: Arrays) -> Mapping[str, Loop]:
    """`stack_module_state`, `vmap` and `grad`; of several seeds either under a second `vmap` or one after another."""
    device, steps = _device(), 5
    inputs, labels = (torch.from_numpy(array).to(device) for array in arrays)

    def loop(step: Step) -> Loop:
        params = stacked(workload, [make_model(workload) for _ in range(workload.members)], device)

        def train() -> None:
            for _ in range(steps):
                step(params, torch.randint(len(inputs), (workload.seeds, workload.batch), device=device))

        return Loop(train, steps * workload.members)

    ways = {name: loop(step) for name, step in steps_of_many(workload, inputs, labels).items()}
    return _with_threads(ways if workload.seeds > 1 else {"": ways["seeds in turn"]}, device)


def stacked(workload: Workload, models: Sequence[Any], device: str = "cpu") -> dict[str, Any]:
    """The parameters of all members by name, [seeds, rates, ...]."""
    state, _ = torch.func.stack_module_state(list(models))
    shape = workload.seeds, workload.rates
    return {name: value.detach().to(device).unflatten(0, shape) for name, value in state.items()}


def steps_of_many(workload: Workload, inputs: Any, labels: Any) -> dict[str, Step]:
    """Ways to take one step of all members, in place: (parameters, rows of the batch of each seed) -> None."""
    skeleton = make_model(workload).to("meta")
    rates = torch.tensor(workload.learning_rates, device=inputs.device)
    factors = {name: -rates.view(-1, *[1] * value.dim()) for name, value in skeleton.named_parameters()}

    def loss(params: Any, inputs: Any, labels: Any) -> Any:
        logits = torch.func.functional_call(skeleton, params, (inputs,))
        return torch.nn.functional.cross_entropy(logits, labels)

    of_a_seed = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))
    of_all_seeds = torch.func.vmap(of_a_seed)

    def descend(params: Any, grads: Any) -> None:
        for name, value in params.items():
            value.addcmul_(grads[name], factors[name])

    def side_by_side(params: Any, rows: Any) -> None:
        descend(params, of_all_seeds(params, inputs[rows], labels[rows]))

    def in_turn(params: Any, rows: Any) -> None:
        for seed, of_seed in enumerate(rows):
            members = {name: value[seed] for name, value in params.items()}
            descend(members, of_a_seed(members, inputs[of_seed], labels[of_seed]))

    return {"seeds side by side": side_by_side, "seeds in turn": in_turn}


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _with_threads(loops: Mapping[str, Loop], device: str) -> dict[str, Loop]:
    """Each loop on one thread and on one per core; on a GPU as it is, until the GPU is done."""
    if device == "cuda":
        return {", ".join(filter(None, (name, "GPU"))): _until_done(loop) for name, loop in loops.items()}
    counts = sorted({1, num_cores()})
    return {
        ", ".join(filter(None, (name, f"{count} thread(s)"))): _on_threads(loop, count)
        for name, loop in loops.items()
        for count in counts
    }


def _on_threads(loop: Loop, count: int) -> Loop:
    def run() -> None:
        torch.set_num_threads(count)
        loop.run()

    return Loop(run, loop.member_steps)


def _until_done(loop: Loop) -> Loop:
    def run() -> None:
        loop.run()
        torch.cuda.synchronize()

    return Loop(run, loop.member_steps)
