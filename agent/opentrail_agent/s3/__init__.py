"""Objects of S3 as a source: an import of what is there, and buckets that are followed."""
