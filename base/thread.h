#ifndef SORTIE_BASE_THREAD_H
#define SORTIE_BASE_THREAD_H

#include <pthread.h>

/*
 * Starts a thread under a name (cut to the 15 octets that the kernel takes).
 * Signals are the main thread's business: the new one blocks them all but
 * those of a fault (SIGSEGV and its like), because for a blocked one the
 * kernel ends the process past whoever would name the place.
 *
 * 0, or an error number of pthread_create.
 */
int thread_start(pthread_t *thread_r, const char *name, void *(*run)(void *),
                 void *arg);

#endif
