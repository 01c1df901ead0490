"""Figures of the testers, in the colours and manners of utils/drawing.py."""
