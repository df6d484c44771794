#!/usr/bin/env python3
"""Merging eight CLIP ViT-B/32 on disk: fusebench beside FusionBench and mergekit, on this machine, in one run.

    cargo build --release
    python3 -m venv --system-site-packages fb && fb/bin/pip install fusion_bench==0.2.33 transformers==4.57.6
    python3 -m venv --system-site-packages mk && mk/bin/pip install mergekit==0.1.5
    python3 benches/peers.py --fusion-bench fb/bin/python --mergekit mk/bin/mergekit-pytorch

Each tool runs as its users run it: whole process, files in, files out, page cache warm. Rounds go through all tools in
turn, so that a busy moment of the machine hits all of them. Needs numpy, 4 GB of disk for the models (made here: a base
and eight experts, base + noise with heavy tails) and 21 GB of memory if FusionBench's TIES is asked for.
"""
import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

EXPERTS = [f"m{i}" for i in range(1, 9)]


def tensors():
    """Names and shapes of CLIP ViT-B/32's vision tower, as transformers saves it."""
    tower = "vision_model."
    yield tower + "embeddings.class_embedding", [768]
    yield tower + "embeddings.patch_embedding.weight", [768, 3, 32, 32]
    yield tower + "embeddings.position_embedding.weight", [50, 768]
    norms = [tower + "pre_layrnorm", tower + "post_layernorm"]
    for layer in range(12):
        block = f"{tower}encoder.layers.{layer}."
        for part in "qkv":
            yield f"{block}self_attn.{part}_proj.weight", [768, 768]
            yield f"{block}self_attn.{part}_proj.bias", [768]
        yield block + "self_attn.out_proj.weight", [768, 768]
        yield block + "self_attn.out_proj.bias", [768]
        yield block + "mlp.fc1.weight", [3072, 768]
        yield block + "mlp.fc1.bias", [3072]
        yield block + "mlp.fc2.weight", [768, 3072]
        yield block + "mlp.fc2.bias", [768]
        norms += [block + "layer_norm1", block + "layer_norm2"]
    for norm in norms:
        yield norm + ".weight", [768]
        yield norm + ".bias", [768]


def make_models(folder):
    """Base m0 and experts m1 ... m8, unless they are there."""
    import numpy as np

    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in sorted(tensors()):
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    config = {"model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"], "patch_size": 32}
    base = np.random.default_rng(0).standard_normal(offset // 4, dtype=np.float32) * 0.03
    for seed, name in enumerate(["m0", *EXPERTS]):
        target = folder / name / "model.safetensors"
        if target.exists() and target.stat().st_size == 8 + len(text) + offset:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        values = base
        if seed:
            noise = np.random.default_rng(seed).standard_normal(offset // 4, dtype=np.float32)
            values = base + noise**3 * np.float32(0.001)
        with open(target, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + values.tobytes())
        (target.parent / "config.json").write_text(json.dumps(config))


# Method: fusebench's settings, FusionBench's class, mergekit's YAML.
METHODS = {
    "simple_average": ([], "simple_average.SimpleAverageAlgorithm()", {"merge_method": "linear", "weight": 1.0}),
    "task_arithmetic": (
        ["scaling=0.3"],
        "task_arithmetic.TaskArithmeticAlgorithm(scaling_factor=0.3)",
        {"merge_method": "task_arithmetic", "weight": 0.3},
    ),
    "ties": (
        ["scaling=0.3", "density=0.2"],
        "ties_merging.TiesMergingAlgorithm(scaling_factor=0.3, threshold=20, remove_keys=[], merge_func='sum')",
        {"merge_method": "ties", "weight": 0.3, "density": 0.2},
    ),
    "dare": (
        ["scaling=0.3", "drop=0.7"],
        "dare.DareTaskArithmetic(scaling_factor=0.3, sparsity_ratio=0.7, only_on_linear_weights=False)",
        {"merge_method": "dare_linear", "weight": 0.3, "density": 0.3},
    ),
    "magmax": ([], "magmax.MagMaxAlgorithm(scaling_factor=0.5)", None),
    "emr": ([], "emr_merging.EMRMerging()", None),
    "iso_c": ([], "isotropic_merging.ISO_C_Merge(scaling_factor=1.0)", None),
    "tsv_m": ([], "task_singular_vector.TaskSingularVectorMerging(alpha=1.0)", None),
}


def fusebench(args, method, models, out):
    settings, _, _ = METHODS[method]
    command = [args.fusebench, "merge", method, "--base", models / "m0", "--out", out, "--quiet"]
    for expert in EXPERTS:
        command += ["--expert", models / expert]
    for setting in settings:
        command += ["--set", setting]
    return command


def fusion_bench(args, method, models, out):
    _, algorithm, _ = METHODS[method]
    module = algorithm.split(".")[0]
    pool = {"_pretrained_": str(models / "m0"), **{name: str(models / name) for name in EXPERTS}}
    code = f"""
from fusion_bench.method import {module}
from fusion_bench.modelpool import CLIPVisionModelPool
pool = CLIPVisionModelPool(models={pool!r}, processor=None)
merged = {algorithm}.run(pool)
merged.save_pretrained({str(out)!r})
"""
    return [args.fusion_bench, "-c", code]


def mergekit(args, method, models, out):
    _, _, recipe = METHODS[method]
    if recipe is None:
        return None
    parameters = {key: value for key, value in recipe.items() if key != "merge_method"}
    entries = [{"model": str(models / name / "model.safetensors"), "parameters": parameters} for name in EXPERTS]
    config = {"merge_method": recipe["merge_method"], "models": entries, "dtype": "float32"}
    if recipe["merge_method"] != "linear":
        config["base_model"] = str(models / "m0" / "model.safetensors")
        config["parameters"] = {"normalize": False}
    path = out.parent / "mergekit.yml"
    path.write_text(json.dumps(config))
    return [args.mergekit, path, out]


def measure(command, out):
    """Seconds and peak anonymous memory in MB of a process and its children; nothing when it fails."""
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as status:
                anonymous = [line.split()[1] for line in status if line.startswith("RssAnon")]
            peak = max([peak, *map(int, anonymous)])
        except OSError:
            pass
        time.sleep(0.005)
    seconds = time.perf_counter() - start
    if process.returncode or not any(out.glob("**/*.safetensors")):
        print(process.stderr.read().decode(errors="replace")[-600:], file=sys.stderr)
        return None
    return seconds, peak / 1024


def floor(models, out):
    """Reading the inputs and writing the output once, one thread, a buffer of 1 MB."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    buffer, start = bytearray(1 << 20), time.perf_counter()
    for name in ["m0", *EXPERTS]:
        with open(models / name / "model.safetensors", "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    size = (models / "m0" / "model.safetensors").stat().st_size
    with open(out / "x", "wb", buffering=0) as file:
        for _ in range(-(-size // len(buffer))):
            file.write(buffer)
        os.fsync(file.fileno())
    return time.perf_counter() - start, 0.0


def show(values):
    seconds = [second for second, _ in values]
    return f"{statistics.median(seconds):8.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fusebench", default="target/release/fusebench")
    parser.add_argument("--fusion-bench", help="a Python that has fusion_bench")
    parser.add_argument("--mergekit", help="mergekit-pytorch")
    parser.add_argument("--models", type=Path, default=Path("/tmp/fusebench-peers"))
    parser.add_argument("--methods", nargs="+", default=["simple_average", "task_arithmetic", "dare"], choices=METHODS)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    make_models(args.models)
    out = args.models / "out"
    tools = {"fusebench": fusebench}
    if args.fusion_bench:
        tools["FusionBench"] = fusion_bench
    if args.mergekit:
        tools["mergekit"] = mergekit
    floor(args.models, out)
    print(f"load {os.getloadavg()[0]:.2f}; {args.runs} runs: median (min-max) in s, peak anonymous memory, x fusebench")
    for method in args.methods:
        seen = {"read + write once": []} | {tool: [] for tool in tools}
        for _ in range(args.runs):
            seen["read + write once"].append(floor(args.models, out))
            for tool, command in tools.items():
                command = command(args, method, args.models, out)
                if command and (measured := measure(command, out)):
                    seen[tool].append(measured)
        ours = seen["fusebench"] and statistics.median(second for second, _ in seen["fusebench"])
        for tool, values in seen.items():
            if values:
                ratio = statistics.median(second for second, _ in values) / ours if ours else float("nan")
                peak = max(memory for _, memory in values)
                print(f"{method:16} {tool:18} {show(values):24} {peak:7.0f} MB {ratio:7.2f} x", flush=True)
    shutil.rmtree(out, ignore_errors=True)


if __name__ == "__main__":
    main()
