"""What is computed again, or clip by clip."""

import numpy as np
import pytest
from harness import assert_close, to_numpy
from keras import ops

from keras_asit.layers import recomputation
from keras_asit.layers.recomputation import clip_by_clip


@pytest.mark.parametrize("devices", [1, 2, 3, 6])
def test_each_device_does_its_next_clip_at_each_turn(devices, monkeypatch):
    monkeypatch.setattr(recomputation, "num_batch_devices", lambda: devices)
    clips = np.arange(12, dtype="float32").reshape(6, 2)
    scales = np.arange(6, dtype="float32").reshape(6, 1, 1)
    sizes = []

    def work(clips, scales):
        sizes.append(clips.shape[0])
        first = ops.add(ops.zeros_like(clips), clips[:1])
        return ops.multiply(clips, scales[:, 0]), first

    scaled, first = clip_by_clip(work)(clips, scales)
    assert set(sizes) == {devices}
    assert_close(scaled, clips * scales[:, 0], atol=0)
    # A device has consecutive clips, and at each turn the first device's comes first.
    assert_close(first, clips[np.arange(6) % (6 // devices)], atol=0)


def test_a_batch_that_devices_cannot_share_is_done_at_once(monkeypatch):
    monkeypatch.setattr(recomputation, "num_batch_devices", lambda: 4)
    clips = np.arange(12, dtype="float32").reshape(6, 2)
    total = clip_by_clip(lambda clips: ops.subtract(clips, ops.sum(clips)))(clips)
    np.testing.assert_array_equal(to_numpy(total), clips - 66)
