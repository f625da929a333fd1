"""Tie the lifetimes of processes together: nothing outlives the process that started it. Linux only."""
