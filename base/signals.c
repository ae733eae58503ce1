/*
 * The mask of signals around the start of a thread. Handles no signal.
 */
#include "base/signals.h"

#include <stdlib.h>

void
signals_block(sigset_t *before_r)
{
	static const int faults[] = { SIGSEGV, SIGBUS,  SIGFPE,
		                      SIGILL,  SIGABRT, SIGTRAP };
	sigset_t set;

	(void)sigfillset(&set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		(void)sigdelset(&set, faults[i]);
	}
	if (pthread_sigmask(SIG_SETMASK, &set, before_r) != 0) {
		abort(); /* a wrong argument only */
	}
}

void
signals_restore(const sigset_t *before)
{
	if (pthread_sigmask(SIG_SETMASK, before, NULL) != 0) {
		abort();
	}
}
