/* The floor: the least that the hops of a stop, and the two ends of a token, can cost on this machine.
 *
 * usage: floor gateway NUMBER REDIS_PORT | floor worker REDIS_PORT UPSTREAM_PORT | floor ends UPSTREAM_PORT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles.h"

int main(int count, char **argument) {
    if (count == 4 && !strcmp(argument[1], "gateway")) gateway(atol(argument[2]), atoi(argument[3]));
    if (count == 4 && !strcmp(argument[1], "worker")) worker(atoi(argument[2]), atoi(argument[3]));
    if (count == 3 && !strcmp(argument[1], "ends")) ends(atoi(argument[2]));
    fprintf(stderr, "usage: floor gateway NUMBER REDIS_PORT | worker REDIS_PORT UPSTREAM_PORT | ends UPSTREAM_PORT\n");
    return 2;
}
