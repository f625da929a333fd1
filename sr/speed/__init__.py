"""Measure how fast models run here: latency, throughput and start-up time by device, beside the device's peak."""
