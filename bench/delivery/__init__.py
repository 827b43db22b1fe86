"""What many sockets cost a gateway: measured on real processes, reported with the date."""
