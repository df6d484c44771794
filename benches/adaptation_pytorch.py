"""Seconds of a step of layer-wise AdaMerging of CLIP-ViT-B/32 in PyTorch, for `cargo bench --bench adaptation` to stand beside.

As in FusionBench, the merge is part of the graph: theta = base + sum of lambda[expert, tensor] * task vector, once a step. The losses
of all tasks are summed and go backwards together, so that the merge is gone through backwards once. Random weights, f32; the first
step is not counted. Prints one number a step.
Usage: adaptation_pytorch.py THREADS EXPERTS BATCH STEPS
"""

import sys
import time

import torch
import torch.nn.functional as F

from clip_pytorch import PROJECTION, Tower

threads, experts, batch, steps = map(int, sys.argv[1:])
torch.set_num_threads(threads)
torch.manual_seed(1)

tower = Tower().eval()
base = {name: value.detach() for name, value in tower.named_parameters()}
vectors = [{name: 0.001 * torch.randn_like(value) for name, value in base.items()} for _ in range(experts)]
coefficients = torch.full((experts, len(base)), 0.3, requires_grad=True)
optimiser = torch.optim.Adam([coefficients], lr=1e-3)
head = F.normalize(torch.randn(10, PROJECTION), dim=1)
images = [torch.randn(batch, 3, 224, 224) for _ in range(experts)]


def merged():
    sums = {}
    for at, (name, value) in enumerate(base.items()):
        for row, vector in zip(coefficients, vectors):
            value = value + row[at] * vector[name]
        sums[name] = value
    return sums


def entropy(logits):
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


for step in range(steps + 1):
    start = time.perf_counter()
    theta = merged()
    loss = sum(
        entropy(100 * F.normalize(torch.func.functional_call(tower, theta, (pixels,)), dim=1) @ head.T) for pixels in images
    )
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step > 0:
        print(time.perf_counter() - start)
