"""Miniature copies of public data sets, each class a pitch of its own."""

import json

import numpy as np
import soundfile

SAMPLE_RATE = 16000


def write_tone(path, pitch, seconds=0.4):
    """Write a tone in a little noise; one pitch is one class."""
    generator = np.random.default_rng(sum(map(ord, path.name)))
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = 0.3 * np.sin(2 * np.pi * 250 * 2**pitch * time) + generator.normal(0, 0.01, len(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone, SAMPLE_RATE)
    return path


def write_class_folders(folder, clips=5):
    for pitch, name in enumerate(["cat", "dog"]):
        for index in range(clips):
            write_tone(folder / name / f"{index}.wav", 2 * pitch)
    return folder


def write_esc50(folder, clips_per_fold=2):
    """Two categories, whose targets are not consecutive, in five folds."""
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for pitch, (target, category) in enumerate({0: "dog", 36: "vacuum_cleaner"}.items()):
        for fold in range(1, 6):
            for take in range(clips_per_fold):
                name = f"{fold}-100-{chr(65 + take)}-{target}.wav"
                write_tone(folder / "audio" / name, 2 * pitch)
                rows.append(f"{name},{fold},{target},{category},False,100,{chr(65 + take)}")
    (folder / "meta").mkdir()
    (folder / "meta" / "esc50.csv").write_text("\n".join(rows))
    return folder


def write_speech_commands(folder, clips=6):
    lists = {"validation_list.txt": [], "testing_list.txt": []}
    for pitch, word in enumerate(["no", "yes"]):
        for index in range(clips):
            name = f"{word}/{index:08x}_nohash_0.wav"
            write_tone(folder / name, 2 * pitch)
            if index < 2:
                lists[sorted(lists)[index]].append(name)
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    write_tone(folder / "_background_noise_" / "white_noise.wav", 0, seconds=2.0)
    return folder


def write_audioset(folder, clips=6):
    """Training and evaluation clips in AST's JSON files, and the class index."""
    mids = {"/m/09x0r": "Speech", "/m/04rlf": "Music, popular", "/m/0dgw9r": "Human sounds"}
    rows = [f'{index},{mid},"{name}"' for index, (mid, name) in enumerate(mids.items())]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "class_labels_indices.csv").write_text("\n".join(["index,mid,display_name", *rows]))
    labels = ["/m/09x0r,/m/0dgw9r", "/m/04rlf"]
    for split in ("train", "eval"):
        data = []
        for index in range(clips):
            path = write_tone(folder / split / f"{index}.wav", 2 * (index % 2))
            data.append({"wav": str(path.relative_to(folder)), "labels": labels[index % 2]})
        (folder / f"{split}.json").write_text(json.dumps({"data": data}))
    return folder


def write_voxceleb1(folder, clips=6):
    lines = []
    for pitch, speaker in enumerate(["id10001", "id10002"]):
        for index in range(clips):
            name = f"{speaker}/1zcIwhmdeo4/{index + 1:05}.wav"
            write_tone(folder / "wav" / name, 2 * pitch)
            lines.append(f"{[3, 2][index] if index < 2 else 1} {name}")
    (folder / "iden_split.txt").write_text("\n".join(lines))
    return folder


def write_spoken_digits(folder, recordings=(0, 1, 2, 3, 5, 14)):
    for digit in range(2):
        for speaker in ("ann", "bob"):
            for number in recordings:
                write_tone(folder / f"{digit}_{speaker}_{number}.wav", 2 * digit)
    return folder


def write_events(folder, recordings=4, seconds=2.0):
    """Tones in noise at known times, a pitch a class, the last recording being without.

    The folder has Audacity's labels beside each recording, and DCASE's table, `events.tsv`.
    """
    generator = np.random.default_rng(recordings)
    folder.mkdir(parents=True, exist_ok=True)
    table = ["filename\tonset\toffset\tevent_label"]
    for index in range(recordings):
        noise = generator.normal(0, 0.01, round(seconds * SAMPLE_RATE))
        time = np.arange(len(noise)) / SAMPLE_RATE
        labels = []
        for pitch, name in enumerate(["cat", "dog"] if index < recordings - 1 else []):
            onset = round(generator.uniform(0, seconds - 0.5), 3)
            inside = (time >= onset) & (time < onset + 0.4)
            noise += inside * 0.3 * np.sin(2 * np.pi * 500 * 4**pitch * time)
            labels.append(f"{onset}\t{onset + 0.4:.3f}\t{name}")
        soundfile.write(folder / f"{index}.wav", noise, SAMPLE_RATE)
        (folder / f"{index}.txt").write_text("".join(f"{line}\n" for line in labels))
        table += [f"{index}.wav\t{line}" for line in labels or ["\t\t"]]
    (folder / "events.tsv").write_text("\n".join(table))
    return folder
