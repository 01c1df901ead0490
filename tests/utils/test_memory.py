import os
from pathlib import Path

import torch

from secateur.utils import memory
from secateur.utils.memory import free_memory


def test_what_is_available_is_free_and_half_of_all_where_that_is_not_told(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda path: "MemTotal:  9 kB\nMemAvailable:     5 kB\n")
    assert free_memory(torch.device("cpu")) == 5120
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4096, 8192))
    assert free_memory(torch.device("cuda")) == 4096
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6000, 8192))
    assert free_memory(torch.device("cuda")) == 5120
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 10, "SC_PHYS_PAGES": 7}.get)
    for facts in ("MemTotal: 9 kB", None):

        def read(path, facts=facts):
            if facts is None:
                raise OSError
            return facts

        monkeypatch.setattr(memory.Path, "read_text", read)
        assert free_memory(torch.device("cpu")) == 35
