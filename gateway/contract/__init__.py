"""Contract: what this gateway speaks, published: OpenAPI for HTTP, AsyncAPI for the socket."""
