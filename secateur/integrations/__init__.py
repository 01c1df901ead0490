"""Pruning in the training loops of other libraries; each is imported only when it is asked for.

from secateur.integrations.lightning import PruningCallback         # pip install lightning
from secateur.integrations.transformers import PruningCallback      # pip install transformers
"""
