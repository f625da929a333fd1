"""Judging upscalers: protocols by name, metrics, degradations, one evaluator for all, and the pages that it writes."""
