"""Waveforms of the clips in records, one after another."""

from pathlib import Path

from keras_asit.arguments import check_positive_integer
from keras_asit.data.read_record_index import read_record_index
from keras_asit.data.read_records import check_front_end
from keras_asit.data.record_clips import record_clips


def record_dataset(folder, sample_rate=16000):
    """Return a finite dataset of the waveforms in a folder of records: one pass over them.

    Args:
        folder: str or `os.PathLike`. What `keras_asit.data.write_records` has written, of kind
            `"encoded"` or `"waveform"`.
        sample_rate: int. In Hz; must be that of the records, except that files are resampled.
            Defaults to `16000`.

    Returns:
        A `tf.data.Dataset` of `(waveform, path)`, as `keras_asit.data.audio_dataset` has them.

    Raises:
        ValueError: If the folder holds no finished records, or those of log-mels or of another
            sample rate.

    Example:

    ```python
    converter = keras_asit.models.ASiTAudioConverter()
    converter.adapt(keras_asit.data.record_dataset("records"))
    ```
    """
    check_positive_integer("sample_rate", sample_rate)
    index = read_record_index(folder)
    check_front_end(folder, index, sample_rate, spectrograms=False)
    shards = [number for number, shard in enumerate(index["shards"]) if shard["records"]]
    path = Path(folder).expanduser().absolute()
    clips = record_clips(path, index, shards, sample_rate, False, 0, None)
    return clips.map(lambda record: (record["clip"], record["path"]))
