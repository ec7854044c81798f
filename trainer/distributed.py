"""Distributed training: one process, or several that `torchrun` started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Distributed:
    """This process among those of a training.

    Attributes:
        rank: of this process, from 0.
        world_size: number of processes.
        local_rank: rank of this process on its machine; the number of its GPU.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @classmethod
    @contextmanager
    def joined(cls, device: str) -> Iterator["Distributed"]:
        """Joins the processes that `torchrun` describes in the environment, if there are several.

        Args:
            device: of the settings; "cpu" leaves GPUs alone.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            yield cls()
            return
        gpus = device != "cpu" and torch.cuda.is_available()
        distributed.init_process_group("nccl" if gpus else "gloo")
        try:
            yield cls(distributed.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))
        finally:
            distributed.destroy_process_group()

    @property
    def is_main(self) -> bool:
        """True for the process that writes files and prints."""
        return self.rank == 0

    def barrier(self) -> None:
        """Waits until all processes are here."""
        if self.world_size > 1:
            distributed.barrier()

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Gives all processes the main one's batch-norm averages: each saw its own batches."""
        if self.world_size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)

    def mean(self, value: float) -> float:
        """Averages a number over the processes."""
        return float(self.gather(np.array([value], np.float32)).mean())

    def mean_sum(self, weight: Tensor) -> Tensor:
        """Sums a tensor, averaged over the processes: a scalar; all must call it in each step."""
        total = weight.detach().sum()
        if self.world_size > 1:
            distributed.all_reduce(total)
        return total / self.world_size

    def gather(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Gathers rows of all processes: row i of rank r becomes row i * world_size + r.

        All processes must bring the same number of rows.
        """
        if self.world_size == 1:
            return rows
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        own = torch.from_numpy(np.ascontiguousarray(rows)).to(device)
        every = [torch.empty_like(own) for _ in range(self.world_size)]
        distributed.all_gather(every, own)
        return torch.stack(every, dim=1).flatten(0, 1).cpu().numpy()
