"""One process, or several that `torchrun` started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn


@dataclass(frozen=True)
class World:
    """The processes of a training.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        local: place of this process on its machine; the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @classmethod
    @contextmanager
    def join(cls, device: str) -> Iterator["World"]:
        """The world that `torchrun` describes in the environment, or a process alone."""
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
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def align(self, network: nn.Module) -> None:
        """Give all processes the first one's buffers: each has averaged its own batches last."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, src=0)

    def mean(self, value: float) -> float:
        """Mean of a number over the processes."""
        return float(self.gather(np.array([value], np.float32)).mean())

    def gather(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Rows of all processes, interleaved: row i of process r becomes row i * size + r.

        All processes must bring the same number of rows.
        """
        if self.size == 1:
            return rows
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        own = torch.from_numpy(np.ascontiguousarray(rows)).to(device)
        every = [torch.empty_like(own) for _ in range(self.size)]
        distributed.all_gather(every, own)
        return torch.stack(every, dim=1).flatten(0, 1).cpu().numpy()
