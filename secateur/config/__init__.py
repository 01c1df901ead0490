"""What is configured: components by name, their options, the command line. Free of torch."""
