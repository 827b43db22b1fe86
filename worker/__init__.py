"""The worker: claims jobs, runs upstream streams, appends their events. It never talks to a client."""
