"""The stack: Andon as real processes, for tests that go through public doors only."""
