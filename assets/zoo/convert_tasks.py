#!/usr/bin/env python3
"""Makes tasks for `fusebench zoo add` of pictures. Needs numpy and Pillow.

    python3 assets/zoo/convert_tasks.py --out more/ ../shared/data/tier2/cifar10_jpg.tar.xz ../shared/data/tier2/dtd10_64px.npz

A source is an archive or a folder of SPLIT/CLASS/PICTURE, SPLIT being train or test, or an .npz (u8) with names and xtr, ytr, xte,
yte, or with x and y alone, of which a third of every class becomes test, drawn with a fixed seed. Its task is called as its file, up to the first `_` or `.`. Pictures are scaled to 28 pixels a side (--side), the size of the
zoo's; validation is drawn from train as for the zoo's own tasks (convert.py).
"""
import argparse, io, json, pathlib, tarfile
import numpy as np
from PIL import Image
from convert import validation_mask, write


def pictures(source):
    """Path and bytes of every file, in the order of paths."""
    if source.is_dir():
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            yield path.relative_to(source).parts, path.read_bytes()
    else:
        with tarfile.open(source) as archive:
            files = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
        for name in sorted(files):
            yield pathlib.PurePosixPath(name).parts, files[name]


def scaled(image, side):
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))


def of_pictures(source, side):
    found = {"train": [], "test": []}
    for parts, data in pictures(source):
        if len(parts) >= 3 and parts[-3] in found:
            found[parts[-3]].append((parts[-2], scaled(Image.open(io.BytesIO(data)), side)))
    names = sorted({name for split in found.values() for name, _ in split})
    splits = {
        split: (np.stack([image for _, image in all]), np.array([names.index(name) for name, _ in all], np.uint8))
        for split, all in found.items()
    }
    return splits, names


def of_arrays(source, side):
    npz = np.load(source)
    scale = lambda images: np.stack([scaled(Image.fromarray(image), side) for image in images])
    names = [str(name) for name in npz["names"]]
    if "x" in npz:
        images, labels = scale(npz["x"]), npz["y"]
        mask = np.zeros(len(labels), bool)
        rng = np.random.RandomState(11)
        for label in np.unique(labels):
            at = rng.permutation(np.where(labels == label)[0])
            mask[at[: len(at) // 3]] = True
        return {"train": (images[~mask], labels[~mask]), "test": (images[mask], labels[mask])}, names
    return {split: (scale(npz[f"x{end}"]), npz[f"y{end}"]) for split, end in [("train", "tr"), ("test", "te")]}, names


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sources", nargs="+", type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--side", type=int, default=28)
    args = parser.parse_args()
    tasks = []
    for source in args.sources:
        task = source.name.split(".")[0].split("_")[0]
        splits, names = (of_arrays if source.suffix == ".npz" else of_pictures)(source, args.side)
        images, labels = splits.pop("train")
        mask = validation_mask(labels)
        splits |= {"train": (images[~mask], labels[~mask]), "validation": (images[mask], labels[mask])}
        entry = {"id": task, "title": f"{task}, {len(names)} classes", "classes": names}
        for split, (images, labels) in splits.items():
            write(args.out / "data" / task / f"{split}.safetensors.gz", images, labels, ())
            entry[split] = len(labels)
        tasks.append(entry | {"source": source.name, "licence": "as the source's"})
        print(task, {split: entry[split] for split in splits}, names)
    (args.out / "data" / "tasks.json").write_text(json.dumps(tasks, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
