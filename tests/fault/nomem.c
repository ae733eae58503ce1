/*
 * Preloaded: the allocation whose number stands in word 1 fails, word 0 counts
 * them all, word 2 counts those that failed. Word 3: not that one alone but
 * this many in a row. Who then uses a null pointer is named on standard error,
 * and behind it who asked for the memory.
 */
#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "tests/fault/control.h"

/* glibc's own, under names that no library needs to be asked for. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

#define FRAMES  12
#define OF_HERE 2 /* the handler, and the C library's return from it */

static void *asked[FRAMES]; /* of the allocation that failed */
static int asked_n;

/* The call of a null pointer has no frame: what it returns to stands on top of
 * the stack. */
static void
name_place(const ucontext_t *context)
{
#ifdef __x86_64__
	void *at;
	void **stack;

	memcpy(&at, &context->uc_mcontext.gregs[REG_RIP], sizeof(at));
	memcpy(&stack, &context->uc_mcontext.gregs[REG_RSP], sizeof(stack));
	if (at == NULL) {
		at = *stack;
	}
	backtrace_symbols_fd(&at, 1, STDERR_FILENO);
#else
	(void)context;
#endif
}

static void
on_crash(int sig, siginfo_t *info, void *context)
{
	void *frames[FRAMES];
	int n;

	(void)info;
	name_place(context);
	n = backtrace(frames, FRAMES);
	if (n > OF_HERE) {
		backtrace_symbols_fd(frames + OF_HERE, n - OF_HERE,
		                     STDERR_FILENO);
	}
	backtrace_symbols_fd(asked, asked_n, STDERR_FILENO);
	(void)raise(sig); /* the default action by now: the end */
}

static __attribute__((constructor)) void
name_crashes(void)
{
	struct sigaction sa = { .sa_flags = SA_SIGINFO | (int)SA_RESETHAND };
	void *frames[1];

	(void)backtrace(frames, 1); /* loads what it needs, in peace */
	sa.sa_sigaction = on_crash;
	(void)sigaction(SIGSEGV, &sa, NULL); /* cannot fail */
}

static int
fails(void)
{
	uint64_t number = atomic_fetch_add(&control[0], 1) + 1;
	uint64_t at = atomic_load(&control[1]);
	uint64_t run = atomic_load(&control[3]);

	if (at == 0 || number < at || number - at > run) {
		return 0;
	}
	atomic_fetch_add(&control[2], 1);
	if (number == at) {
		asked_n = backtrace(asked, FRAMES);
	}
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
	return size != 0 && fails() ? NULL : __libc_realloc(p, size);
}

void *
memalign(size_t alignment, size_t size)
{
	return fails() ? NULL : __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **out, size_t alignment, size_t size)
{
	void *p = memalign(alignment, size);

	if (p == NULL) {
		return ENOMEM;
	}
	*out = p;
	return 0;
}
