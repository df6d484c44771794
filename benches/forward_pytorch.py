"""Images a second of CLIP-ViT-B/32's vision tower in PyTorch, for `cargo bench --bench forward` to stand beside.

Random weights, f32, inference mode, scaled_dot_product_attention, the class token's projection. Prints one number a round.
Usage: forward_pytorch.py THREADS BATCH ROUNDS
"""

import sys
import time

import torch
import torch.nn.functional as F

threads, batch, rounds = map(int, sys.argv[1:])
torch.set_num_threads(threads)
WIDTH, LAYERS, HEADS, MLP, PATCH, PROJECTION = 768, 12, 12, 3072, 32, 512


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.out = (torch.nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.fc1, self.fc2 = torch.nn.Linear(WIDTH, MLP), torch.nn.Linear(MLP, WIDTH)

    def forward(self, x):
        n, length, _ = x.shape
        seen = self.norm1(x)
        q, k, v = (f(seen).view(n, length, HEADS, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))
        inner = self.fc1(self.norm2(x))
        return x + self.fc2(inner * torch.sigmoid(1.702 * inner))


class Tower(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.cls = torch.nn.Parameter(torch.randn(WIDTH))
        self.position = torch.nn.Parameter(torch.randn(50, WIDTH))
        self.pre, self.post = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.projection = torch.nn.Linear(WIDTH, PROJECTION, bias=False)

    def forward(self, pixels):
        x = self.patch(pixels).flatten(2).transpose(1, 2)
        x = self.pre(torch.cat([self.cls.expand(len(x), 1, -1), x], 1) + self.position)
        for block in self.blocks:
            x = block(x)
        return self.projection(self.post(x[:, 0]))


with torch.inference_mode():
    tower, pixels = Tower().eval(), torch.full((batch, 3, 224, 224), 0.1)
    tower(pixels)
    for _ in range(rounds):
        start = time.perf_counter()
        tower(pixels)
        print(batch / (time.perf_counter() - start))
