"""Images a second of CLIP-ViT-B/32's vision tower in PyTorch, for `cargo bench --bench forward` to stand beside.

Random weights, f32, inference mode, scaled_dot_product_attention, the class token's projection. Prints one number a round.
Usage: forward_pytorch.py THREADS BATCH ROUNDS
"""

import sys
import time

import torch

from clip_pytorch import Tower

threads, batch, rounds = map(int, sys.argv[1:])
torch.set_num_threads(threads)

with torch.inference_mode():
    tower, pixels = Tower().eval(), torch.full((batch, 3, 224, 224), 0.1)
    tower(pixels)
    for _ in range(rounds):
        start = time.perf_counter()
        tower(pixels)
        print(batch / (time.perf_counter() - start))
