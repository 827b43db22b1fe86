"""The gateway: client sockets on one side, the contract in Redis on the other. It never talks to a model."""
