#ifndef SORTIE_TESTS_UNIT_COMMON_MODEL_CLOCK_H
#define SORTIE_TESTS_UNIT_COMMON_MODEL_CLOCK_H

#include <stdint.h>

/*
 * Time that only the test moves. The monotonic clock of the thread that calls
 * virtual_clock_start stands still, for libevent's timers too; other threads
 * keep the real one. Wall time moves along with it in all threads.
 */

void virtual_clock_start(void);
void virtual_clock_advance(int64_t ms);

#endif
