"""Evaluate upscalers: named protocols, metrics, degradations, one evaluator for all models, and the pages it writes."""
