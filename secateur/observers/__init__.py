"""The project's own outputs, each a plugin of the hooks in secateur/hooks.py."""
