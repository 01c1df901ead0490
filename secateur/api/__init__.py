"""The calls of `import secateur`: each file has those of one subject."""
