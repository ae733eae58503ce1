#ifndef SORTIE_DAEMON_SANDBOX_H
#define SORTIE_DAEMON_SANDBOX_H

#include "base/err.h"

/*
 * What the process gives away before it meets the first stranger (checklist
 * B60). In the order of the calls, on the main thread, before there are
 * others. What the system refuses to take is a warning in the log (event
 * "sandbox"), not a reason to stay down; only a user that cannot be become is.
 */

struct conf;

/* First of all: no further privileges by exec, no core file, no look into
 * the memory by others of the same user. */
void sandbox_begin(void);

/* gateway.user, for a process of root: makes the folders of state and API
 * socket when they are missing, then becomes the user for good. */
int sandbox_become(const struct conf *c, struct err *e);

/* After the sockets are bound: drops capabilities, puts private keys where
 * they are neither swapped nor dumped, and has the kernel refuse system calls
 * that no mail gateway makes. */
void sandbox_seal(const struct conf *c);

#endif
