"""The JavaScript client, on Node's own test runner, against real gateways."""
