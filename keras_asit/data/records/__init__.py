"""Audio files as sharded records."""
