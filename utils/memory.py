"""How much memory there is."""

import os
from pathlib import Path

import torch


def free_memory(device: torch.device) -> int:
    """The bytes that are free, on the device and on the machine, whichever are fewer."""
    try:
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        host = int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # not Linux: half of what there is
        host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return min(host, torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else host
