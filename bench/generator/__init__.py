"""The load generator: sockets, streams and stops, at as little cost as can be."""
