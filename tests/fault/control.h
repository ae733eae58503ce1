#ifndef SORTIE_TESTS_FAULT_CONTROL_H
#define SORTIE_TESTS_FAULT_CONTROL_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/mman.h>

/*
 * How a case talks to a preloaded library while the daemon runs: words in a
 * file that both map, named by the environment variable FAULT_CONTROL. The
 * meaning of each word is the library's. Without the file nothing happens.
 */

#define CONTROL_WORDS 8

static _Atomic uint64_t control_none[CONTROL_WORDS];
static _Atomic uint64_t *control = control_none;

/* Allocates nothing: it may run inside of the first malloc. */
static __attribute__((constructor)) void
control_open(void)
{
	const char *path = getenv("FAULT_CONTROL");
	size_t len = sizeof(control_none);
	void *p;
	int fd;

	if (path == NULL) {
		return;
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd == -1) {
		abort(); /* a fault that cannot be steered tests nothing */
	}
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED) {
		abort();
	}
	control = p;
}

#endif
