"""Real servers for the tests: installed from the package registries, on loopback, ended by us."""
