"""Event detectors from PretrainedSED's files."""

from keras_asit.checkpoints.layout import recognise
from keras_asit.checkpoints.load_backbone import build_backbone
from keras_asit.checkpoints.pytorch_file import read_pytorch_file
from keras_asit.checkpoints.state_dict import assign_all, dense_entries
from keras_asit.models import ASiTEventDetector


def load_event_detector(path, spectrogram_shape=None, num_heads=None):
    """Load an `ASiTEventDetector` from a weak or strong file published with PretrainedSED.

    Args:
        path: str or path. The PyTorch file, such as ASIT_strong_1.pt.
        spectrogram_shape: pair of ints, (frames, mels) of a window. Defaults to `None`,
            `(998, 128)`, 10 seconds, which the weights are for.
        num_heads: int. Attention heads, which no file tells. Defaults to `None`, width // 64.

    Returns:
        An `ASiTEventDetector`.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if PyTorch is not installed.
        ValueError: if the file is damaged or holds no heads, holds anything but weights, or a
            weight is missing, surplus or of another shape.

    Example:

    ```python
    detector = keras_asit.checkpoints.load_event_detector("ASIT_strong_1.pt")
    ```
    """
    layout = recognise(read_pytorch_file(path), "teacher", path)
    missing = [name for name in ("strong_head", "weak_head") if f"{name}.bias" not in layout.heads]
    if missing:
        raise ValueError(
            f"{path} holds no {' and no '.join(missing)}; of the published files, the weak and "
            "the strong ones do. Use `load_backbone` to load its backbone."
        )
    backbone = build_backbone(layout, path, spectrogram_shape, num_heads)
    detector = ASiTEventDetector(
        backbone,
        num_strong_classes=layout.heads["strong_head.bias"].shape[0],
        num_weak_classes=layout.heads["weak_head.bias"].shape[0],
    )
    entries = dense_entries("strong_head", detector.strong_head)
    entries |= dense_entries("weak_head", detector.weak_head)
    assign_all(entries, layout.heads, path)
    return detector
