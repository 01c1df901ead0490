"""An example of a package for Secateur. Keep this file free of imports: it is loaded at every start."""
