"""Delivery: any device, any replica, any network, with real processes and through public doors."""
