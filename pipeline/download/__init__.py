"""Download the files of a dataset: adopt archives that are on disk, resume partial files, verify checksums.

- `download` brings all files of a dataset together.
- `transfer` fetches one file from one mirror, in parallel parts, and tries again after faults.
- `partial_file` holds what was fetched so far, with its `journal` of byte ranges and its running checksum.
- `mirror` speaks HTTP; `first_bytes` refuses what a server sends in place of an archive.
- `proxies` finds the proxy of a URL and names it in errors.
- `checksums` compares files with the published sizes and checksums, and remembers verified files.
"""
