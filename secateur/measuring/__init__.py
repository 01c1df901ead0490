"""Figures of a network: accuracy, sparsity, operations."""
