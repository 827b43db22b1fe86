/* The roles of the floor, and the names they share in Redis. None returns. */
#ifndef FLOOR_ROLES_H
#define FLOOR_ROLES_H

#define GATEWAYS 16 /* an id tells its gateway: id % GATEWAYS */
#define SLOTS 65536 /* streams at once */
#define GATEWAY_CHANNEL "floor:g:%ld"
#define WORKER_CHANNEL "floor:w"

void gateway(long number, int redis_port);
void worker(int redis_port, int upstream_port);
void ends(int upstream_port);

#endif
