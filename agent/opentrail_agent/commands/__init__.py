"""What a person or a service manager can ask of the agent; one module for each kind of request."""
