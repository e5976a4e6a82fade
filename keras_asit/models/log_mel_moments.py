"""Mean and standard deviation of log-mels, the same in whatever order clips come."""

import math
from fractions import Fraction

import numpy as np


class LogMelMoments:
    """Count, sum and sum of squares of the values of spectrograms.

    The sums of one spectrogram are of double precision; added up they are exact, as fractions,
    so that the result depends neither on the order of spectrograms nor on how they are split
    over processes.
    """

    def __init__(self, count=0, total=0, total_of_squares=0):
        self.count = int(count)
        self.total = Fraction(total)
        self.total_of_squares = Fraction(total_of_squares)

    def add(self, log_mels):
        """Add a spectrogram, an array of shape `(frames, mels)`."""
        values = np.asarray(log_mels, "float64")
        self.merge(LogMelMoments(values.size, values.sum(), np.square(values).sum()))

    def merge(self, other):
        """Add what another `LogMelMoments` has seen."""
        self.count += other.count
        self.total += other.total
        self.total_of_squares += other.total_of_squares

    def as_strings(self):
        """Return the three sums, exact, such that `LogMelMoments(*strings)` has them again."""
        return [str(self.count), str(self.total), str(self.total_of_squares)]

    def mean_and_standard_deviation(self):
        """Return two floats, of all values.

        Raises:
            ValueError: if there are no values, or all are the same.
        """
        if not self.count:
            raise ValueError(
                "Statistics need at least one clip of 25 ms or longer. Received: no frames"
            )
        mean = self.total / self.count
        variance = self.total_of_squares / self.count - mean**2
        # Squares in double precision leave this much of a constant.
        if variance < 1e-10 * max(1, mean**2):
            raise ValueError(
                "Statistics need sound that changes; that of a constant, such as silence, have no "
                f"standard deviation. Received: log-mels which all are {float(mean):g}"
            )
        return float(mean), math.sqrt(variance)
