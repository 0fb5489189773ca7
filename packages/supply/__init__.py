"""What a release is made of: `make sbom` lists it, `make audit` asks what is known against it."""
