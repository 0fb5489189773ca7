"""The Helm chart: rendered by the real helm for every shape in ci/, and judged."""
