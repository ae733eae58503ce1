#ifndef SORTIE_BASE_SIGNALS_H
#define SORTIE_BASE_SIGNALS_H

#include <signal.h>

/*
 * Signals are the main thread's business. A new thread inherits the mask of
 * its maker, so the maker blocks them around pthread_create. Those of a fault
 * (SIGSEGV and its like) are never blocked: the kernel would end the process
 * past whoever names the place.
 */

void signals_block(sigset_t *before_r);
void signals_restore(const sigset_t *before);

#endif
