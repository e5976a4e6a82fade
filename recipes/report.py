"""The report of a run: a page of HTML that needs no other file and no network."""

import base64
import contextlib
import csv
import html
import importlib.metadata
import io
import math
import platform
import shlex
import sys
import time
from pathlib import Path

import lazy_loader
import numpy as np

keras_asit = lazy_loader.load("keras_asit")

# Recordings among which neighbors are looked for, those that are shown, and their neighbors.
NUM_EMBEDDED, NUM_SHOWN, NUM_NEIGHBORS = 100, 6, 3
BATCH_SIZE = 8
# A page with all sounds has some hundred kilobytes.
HEARD_SECONDS = 4
# A recipe imports this when it is started.
BEGAN = time.monotonic()
PACKAGES = ("keras-asit", "keras", "keras-hub", "tensorflow", "jax", "torch", "numpy")
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem;
  color: #222; background: #fff; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
  border-bottom: 1px solid #ddd; vertical-align: top; }
audio { height: 2rem; width: 11rem; display: block; } small { color: #555; }
code { overflow-wrap: anywhere; }
"""


def write_report(path, record, sections):
    """Write the page of a run.

    Args:
        path: path of the .html file.
        record: dict. What the run tells of itself, as `run_record` returns it.
        sections: dict of HTML, by heading; those that are empty are left out.
    """
    name = f"{record['name']}: {record['recipe']}"
    sections = {
        "Results": values_table(record.get("results", {})),
        "The last epoch": values_table(record.get("last_epoch", {})),
        **sections,
        "Data": values_table(record.get("data", {})),
        "Settings": folded(values_table(record.get("settings", {}))),
        "How it ran": values_table(circumstances()),
    }
    body = "\n".join(
        f"<section><h2>{html.escape(heading)}</h2>\n<div class=wide>{content}</div></section>"
        for heading, content in sections.items()
        if content
    )
    page = (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\n"
        '<meta name=viewport content="width=device-width, initial-scale=1">\n'
        '<link rel=icon href="data:,">\n'
        f"<title>{html.escape(name)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{html.escape(name)}</h1>\n{body}\n</body></html>\n"
    )
    keras_asit._files.write_whole(path, page.encode(errors="replace"))


def circumstances():
    """Return the command, the time and memory that it took, and versions."""
    import keras

    found = {
        "command": shlex.join(["python", *sys.argv]),
        "ended": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "minutes, since it was last started": round((time.monotonic() - BEGAN) / 60, 1),
    }
    try:
        import resource
    except ImportError:  # Windows does not tell.
        pass
    else:
        unit = 2**30 if sys.platform == "darwin" else 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        found["largest memory, GiB"] = round(peak, 2)
    found |= {"backend": keras.config.backend(), "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def folded(content):
    return f"<details><summary>All of them</summary>{content}</details>" if content else ""


def lines(texts):
    return folded("<br>".join(map(html.escape, texts)))


def values_table(values):
    rows = (
        f"<tr><td>{html.escape(str(name).replace('_', ' '))}</td>"
        f"<td><code>{html.escape(as_text(value))}</code></td></tr>"
        for name, value in values.items()
    )
    return f"<table>{''.join(rows)}</table>" if values else ""


def as_text(value):
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def rounded(text):
    """Return a text of a table, of a number with a point so many digits."""
    return as_text(as_number(text)) if "." in text else text


def rows_table(path):
    """Return a .csv table as HTML, or nothing where there is none."""
    if not path.exists():
        return ""
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    # The first column has names, whatever they look like.
    rows = [[name, *map(rounded, values)] for name, *values in rows]
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in head)
    rows = ("".join(f"<td>{html.escape(text)}</td>" for text in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def curves(table):
    """Return a picture of each column of a .csv table with a row an epoch, as HTML."""
    from matplotlib.figure import Figure

    with Path(table).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [as_number(row[name]) for row in rows] for name in (rows[0] if rows else ())}
    pictures = []
    for name, values in columns.items():
        if name != "epoch" and np.isfinite(values).any():
            figure = Figure(figsize=(3, 2), layout="constrained")
            axis = figure.subplots()
            axis.plot(range(1, len(values) + 1), values, ".-" if len(values) < 20 else "-")
            axis.set_title(name.replace("_", " "), fontsize=10)
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            pictures.append(picture(figure, f"{name} of each epoch"))
    return "".join(pictures)


def as_number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def picture(figure, description):
    """Return a figure of matplotlib, or a .png file, as HTML; nothing where there is no file."""
    if isinstance(figure, Path):
        content = figure.read_bytes() if figure.exists() else b""
    else:
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=100)
        content = stream.getvalue()
    if not content:
        return ""
    return (
        f'<img alt="{html.escape(description)}" '
        f'src="data:image/png;base64,{base64.b64encode(content).decode()}">'
    )


def neighbors(backbone, converter, paths, seed):
    """Return a table of recordings and of their nearest neighbors, by their first seconds."""
    import keras

    generator = np.random.default_rng(seed)
    heard = {}
    for index in generator.permutation(len(paths)):
        with contextlib.suppress(*keras_asit.data.decoding.UNREADABLE):
            heard[paths[index]] = keras_asit.data.decode_audio(
                paths[index], sample_rate=converter.sample_rate, max_seconds=converter.seconds
            )
        if len(heard) == NUM_EMBEDDED:
            break
    if len(heard) <= NUM_NEIGHBORS:
        return ""
    paths = list(heard)
    model = backbone.feature_model()
    # Sounds shorter than a window are followed by silence, not by the converter's padding.
    samples = round(converter.seconds * converter.sample_rate)
    waveforms = [np.pad(each, (0, max(0, samples - len(each)))) for each in heard.values()]
    spectrograms = keras.ops.convert_to_numpy(converter(waveforms))
    batches = np.split(spectrograms, range(BATCH_SIZE, len(spectrograms), BATCH_SIZE))
    predict_batch = keras_asit.replicas.predict_batch
    features = np.concatenate([predict_batch(model, batch) for batch in batches])
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    rows = []
    for query in generator.permutation(len(features))[:NUM_SHOWN]:
        similarities = features @ features[query]
        similarities[query] = -np.inf
        nearest = np.argsort(-similarities)[:NUM_NEIGHBORS]
        cells = [player(paths[query])]
        cells += [player(paths[index], f"{similarities[index]:.2f}") for index in nearest]
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    head = "<th>recording</th>" + f"<th colspan={NUM_NEIGHBORS}>nearest, by cosine similarity</th>"
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def player(path, remark=""):
    """Return the beginning of a recording as HTML that plays it."""
    import soundfile

    rate, content = 16000, io.BytesIO()
    waveform = keras_asit.data.decode_audio(path, sample_rate=rate)[: HEARD_SECONDS * rate]
    soundfile.write(content, waveform.clip(-1, 1), rate, format="OGG", subtype="VORBIS")
    name = f"{Path(path).parent.name}/{Path(path).name}"
    return (
        f"<small>{html.escape(f'{name} {remark}'.strip())}</small>"
        '<audio controls preload=none src="data:audio/ogg;base64,'
        f'{base64.b64encode(content.getvalue()).decode()}"></audio>'
    )
