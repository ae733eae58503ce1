#ifndef SORTIE_BASE_LOG_H
#define SORTIE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/*
 * One event, one line of key=value to standard error (journald adds its own
 * time stamp and takes the "<N>" priority prefix when asked). Values with
 * blanks, quotes, '=' or anything that is not printable ASCII are quoted and
 * escaped (\", \\, \r, \n, \t, \xHH) and capped at LOG_VALUE_MAX octets: peer
 * text is made safe here and nowhere else. Written with one write(2), never
 * blocking the caller for long: a full or broken log loses lines, not mail
 * (checklist A3.34), and counts them.
 */

enum log_level {
	LOG_LEVEL_ERROR = 0, /* an operator must act */
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO, /* one per step of a message */
	LOG_LEVEL_DEBUG,
};

#define LOG_VALUE_MAX 512
#define LOG_LINE_MAX  4096

/* journal: prefix lines with <priority> and leave the time out. */
void log_setup(enum log_level threshold, bool journal);
bool log_enabled(enum log_level level);
uint64_t log_lost(void);

struct log_line {
	enum log_level level;
	bool active;
	unsigned len;
	char text[LOG_LINE_MAX];
};

/* Usage: struct log_line l; log_begin(&l, LOG_LEVEL_INFO, "delivered");
 * log_id(&l, "qid", id); log_str(&l, "reply", text); log_end(&l); */
void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_id(struct log_line *l, const char *key, uint64_t id); /* 0: left out */
void log_str(struct log_line *l, const char *key, const char *value);
                                                    /* NULL: left out */
void log_strn(struct log_line *l, const char *key, const char *value,
        unsigned len);
void log_int(struct log_line *l, const char *key, int64_t value);
void log_fmt(struct log_line *l, const char *key, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
void log_end(struct log_line *l);

/*
 * A thread that logs at every turn of a loop may gather lines and write
 * several at once: from log_hold on they wait in a buffer of LOG_LINE_MAX
 * octets of the thread's own (a write to a pipe stays whole), until it is full,
 * log_flush is called or a line of level warn or error comes. Who holds lines
 * calls log_flush before it sleeps and before it ends.
 */
void log_hold(void);
void log_flush(void);

/* event= and text= in one call. */
void log_event(enum log_level level, const char *event, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

#endif
