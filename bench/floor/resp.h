/* RESP: one connection for commands, one for a subscription; commands of a turn of the loop go out in one write. */
#ifndef FLOOR_RESP_H
#define FLOOR_RESP_H

#include <stddef.h>

#define SHA_SIZE 40

void resp_open(int port);
void resp_load(const char *script, char sha[SHA_SIZE + 1]); /* blocks: only before the loop runs */
void resp_command(int words, const char *const word[], const size_t size[]);
void resp_subscribe(int port, const char *channel, void (*on_message)(char *text, size_t size));
void resp_flush(void);

#endif
