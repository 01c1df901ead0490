"""The machinery the components stand on."""
