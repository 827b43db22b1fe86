/* Upstream: one streamed answer of the model server, a connection each. */
#ifndef FLOOR_UPSTREAM_H
#define FLOOR_UPSTREAM_H

#include "net.h"

struct answer {
    long id;
    void *owner;
    struct conn *conn; /* NULL once it has ended */
    void (*on_tokens)(struct answer *answer, const char *marks, size_t size); /* all that one read brought */
    void (*on_end)(struct answer *answer);                                    /* ended or broken */
};

/* Ask; the callbacks and the owner of `answer` are set. The prompt is sent as it is: it needs no JSON escapes. */
void upstream_ask(struct answer *answer, int port, const char *prompt, size_t size);
void upstream_close(struct answer *answer);

#endif
