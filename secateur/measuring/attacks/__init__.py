"""Adversarial attacks: foolbox's by their names, what they are given, and a check of what they claim to have found."""
