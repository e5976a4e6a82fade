"""From the scores of an `ASiTEventDetector` to events with onset, offset, label and score."""

from keras_asit.events.find_events import Event, find_events
from keras_asit.events.plot_events import plot_events
from keras_asit.events.score_recording import score_recording
from keras_asit.events.write_events import write_events

__all__ = ["Event", "find_events", "plot_events", "score_recording", "write_events"]
