"""Fixtures for tests of training within this process."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_rank():
    """Join a group of one rank, as if the launcher had started it."""
    import deepspeed

    from sr.distributed.network import find_free_port
    from sr.distributed.ranks import start_ranks

    alone = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "DS_ACCELERATOR": "cpu",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (alone | {"MASTER_PORT": str(find_free_port())}).items():
            patch.setenv(name, value)
        # On tiny images threads wait for each other longer than they work.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield start_ranks()
        torch.set_num_threads(threads)
        deepspeed.comm.destroy_process_group()
