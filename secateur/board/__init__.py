"""The runs of a results folder, live in a browser; read only, on this machine alone. Free of torch."""
