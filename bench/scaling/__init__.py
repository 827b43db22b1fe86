"""What a number of live sockets takes, from measured costs: arithmetic, and a simulation of the queues it makes."""
