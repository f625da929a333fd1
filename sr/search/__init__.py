"""Searching an architecture: many small networks trained briefly, and the best of them by PSNR and speed.

    space.py       what is searched, and one candidate of it
    settings.py    how a search is carried out
    study.py       which candidate is tried next, in a journal that processes and hosts share
    journal.py     the lock and the repair of that journal
    int8_speed.py  how fast a candidate is in int8, timed in turns with a reference
    trial.py       one candidate: its speed, its training, and when to give it up
    loop.py        one after the other, until there are enough
    search.py      the search as a whole
    page.py        what comes out: table, page and presets

Importing this package loads none of its modules.
"""
