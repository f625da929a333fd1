"""The catalog of datasets: what a dataset name or path means, and the published figures of benchmark datasets.

One TOML file per dataset in data/catalog/datasets/. Nothing here downloads or opens a dataset.
"""
