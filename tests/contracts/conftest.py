from hypothesis import HealthCheck, settings

# No deadline an example: the machine may be busy, and the time limit is the test's. Slow drawing is no defect either.
settings.register_profile("andon", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("andon")
