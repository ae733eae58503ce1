/*
 * The one way in which threads begin. Knows nothing of what they do.
 */
#include "base/thread.h"

#include <signal.h>
#include <stdio.h>

int
thread_start(pthread_t *thread_r, const char *name, void *(*run)(void *),
             void *arg)
{
	static const int faults[] = { SIGSEGV, SIGBUS,  SIGFPE,
		                      SIGILL,  SIGABRT, SIGTRAP };
	char text[16];
	sigset_t blocked;
	sigset_t before;
	int rc;

	(void)sigfillset(&blocked);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		(void)sigdelset(&blocked, faults[i]);
	}
	/* A new thread inherits the mask of its maker. */
	rc = pthread_sigmask(SIG_SETMASK, &blocked, &before);
	if (rc != 0) {
		return rc;
	}
	rc = pthread_create(thread_r, NULL, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* as it was */
	if (rc == 0) {
		(void)snprintf(text, sizeof(text), "%s", name);
		(void)pthread_setname_np(*thread_r, text); /* cosmetic */
	}
	return rc;
}
