#ifndef SORTIE_DAEMON_CONTROL_CONTROL_SOCKET_H
#define SORTIE_DAEMON_CONTROL_CONTROL_SOCKET_H

#include <sys/types.h>

#include "base/err.h"

/* The listening Unix socket of the API, mode 0600. */

/* Makes the folder (0700) when only it is missing. A socket that nobody
 * answers on is replaced; one that answers is ERR_BUSY, and anything that is
 * not a socket is left alone. Returns the descriptor or -1. dev_r and ino_r
 * identify the file. */
int control_socket_listen(const char *path, dev_t *dev_r, ino_t *ino_r,
                          struct err *e);

/* Unlinks path when it is still that file. */
void control_socket_remove(const char *path, dev_t dev, ino_t ino);

#endif
