"""The making of records as an Apache Beam pipeline."""

from keras_asit.data.record_folder import PLAN


def run_record_pipeline(write, folder, options):
    """Make every shard of a folder's plan on Beam's workers; return when all are done.

    Args:
        write: function of a line of the plan, which must be picklable.
        folder: a `RecordFolder` that has been begun.
        options: list of strs. Options of the pipeline.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ImportError(
            'Writing records on Apache Beam needs the extra `beam`: pip install "keras-asit[beam]".'
        ) from error
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        _ = (
            pipeline
            | "read the plan" >> beam.io.ReadFromText(str(folder.path / PLAN))
            # Without this, one worker would make all the shards that it has read.
            | beam.Reshuffle()
            | "write shards" >> beam.Map(write)
        )
