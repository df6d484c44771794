"""CLIP-ViT-B/32's vision tower in PyTorch with random weights, f32, as plain as PyTorch's own modules allow."""

import torch
import torch.nn.functional as F

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
