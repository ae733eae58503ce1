#ifndef SORTIE_BASE_MAILBOX_H
#define SORTIE_BASE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

/*
 * How threads talk: tasks posted from any thread, run by the one that owns
 * the mailbox, in order of posting. A task is embedded in the object that it
 * is about; the poster gives that object away until run() is called.
 *
 * Two ways to wait: an eventfd for a reactor (mailbox_fd readable means
 * tasks may wait), or mailbox_wait for a plain thread. A wake-up is sent
 * only when the box was empty, so a burst costs one system call.
 */

struct task {
	struct task *next;
	void (*run)(struct task *t); /* may free the task, may post it again */
};

struct task_list {
	struct task *first;
	struct task **last; /* NULL head: use task_list_init */
	size_t n;
};

void task_list_init(struct task_list *l);
void task_list_add(struct task_list *l, struct task *t);
struct task *task_list_pop(struct task_list *l);

struct mailbox;

struct mailbox *mailbox_new(void);
void mailbox_free(struct mailbox **m); /* must be empty */

void mailbox_post(struct mailbox *m, struct task *t);
/* The whole list with one lock and at most one wake-up; l is empty after. */
void mailbox_post_list(struct mailbox *m, struct task_list *l);

int mailbox_fd(const struct mailbox *m);
/* Takes everything that waits, clears the wake-up; false when empty. */
bool mailbox_take(struct mailbox *m, struct task_list *out);
/* Takes and runs everything; returns the number of tasks run. */
size_t mailbox_run(struct mailbox *m);
/* Blocks until something waits or timeout_ms (-1: for ever) passes. */
bool mailbox_wait(struct mailbox *m, int timeout_ms, struct task_list *out);

/* A pool of plain threads that take tasks from one queue, for what costs CPU
 * or blocks. Order between tasks is not kept. */
struct workers;

struct workers *workers_new(unsigned n, const char *name);
void workers_post(struct workers *w, struct task *t);
/* Runs what waits, then joins the threads. */
void workers_free(struct workers **w);

#endif
