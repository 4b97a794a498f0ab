"""Worker processes of a flow end as they do elsewhere."""

import os
import threading

import torch
from prefect import flow, get_run_logger
from torch.utils.data import DataLoader, TensorDataset

import flows.forked
import flows.walk  # as every flow does


def load() -> int:
    get_run_logger().info("starts what Prefect has to do at the end of a process")
    images = TensorDataset(torch.arange(8))
    return sum(int(batch.sum()) for _ in range(3) for (batch,) in DataLoader(images, batch_size=2, num_workers=2))


def test_images_are_decoded_by_processes_within_a_flow(prefect_server: None) -> None:
    assert flow(load)() == 3 * 28


def test_a_fork_forgets_prefects_hooks_alone(prefect_server: None) -> None:
    flow(load)()
    assert any(flows.forked._is_of_prefect(hook) for hook in threading._threading_atexits)
    read, write = os.pipe()
    threading._register_atexit(os.getpid)
    if os.fork() == 0:
        os.write(write, repr([hook.func.__module__ for hook in threading._threading_atexits]).encode())
        os._exit(0)
    os.close(write)
    left = os.read(read, 10_000).decode()
    assert "prefect" not in left
    assert "posix" in left
    threading._threading_atexits[:] = [each for each in threading._threading_atexits if each.func is not os.getpid]
