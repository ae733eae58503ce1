/*
 * One line per event. Builds the line in the caller's struct, escapes every
 * value, and hands it to standard error with one system call. Never waits
 * for a reader: a line that cannot go at once is lost and counted. Expects
 * SIGPIPE to be ignored. Takes no lock, makes no allocation.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"

/* How standard error is written without waiting. */
enum sink {
	SINK_FILE = 0, /* a regular file never waits for a reader */
	SINK_SOCKET,   /* journald: MSG_DONTWAIT */
	SINK_PIPE,     /* a description of our own, O_NONBLOCK */
	SINK_POLL,     /* a terminal, or a pipe that may not be reopened */
};

static _Atomic int threshold_now = LOG_LEVEL_INFO;
static _Atomic bool journal_now;
static _Atomic int sink_now = SINK_POLL;
static _Atomic int fd_now = STDERR_FILENO;
static _Atomic uint64_t lost;

/* Lines that wait, of the thread that asked for it. */
static _Thread_local struct {
	bool on;
	unsigned lines;
	size_t len;
	char text[LOG_LINE_MAX];
} held;

/*
 * Setting O_NONBLOCK on the inherited descriptor would set it for whoever
 * shares it; a pipe opened again through /proc is ours alone.
 */
static void
choose_sink(void)
{
	struct stat st;
	int old = atomic_load(&fd_now);
	int fd = STDERR_FILENO;
	enum sink sink = SINK_POLL;

	if (fstat(STDERR_FILENO, &st) == 0) {
		if (S_ISREG(st.st_mode)) {
			sink = SINK_FILE;
		} else if (S_ISSOCK(st.st_mode)) {
			sink = SINK_SOCKET;
		} else if (S_ISFIFO(st.st_mode)) {
			fd = open("/proc/self/fd/2",
			          O_WRONLY | O_NONBLOCK | O_CLOEXEC);
			sink = fd == -1 ? SINK_POLL : SINK_PIPE;
			fd = fd == -1 ? STDERR_FILENO : fd;
		}
	}
	atomic_store(&sink_now, (int)sink);
	atomic_store(&fd_now, fd);
	if (old != STDERR_FILENO) {
		(void)close(old); /* nothing was ever buffered there */
	}
}

void
log_setup(enum log_level threshold, bool journal)
{
	atomic_store(&threshold_now, (int)threshold);
	atomic_store(&journal_now, journal);
	choose_sink();
}

bool
log_enabled(enum log_level level)
{
	return (int)level <=
	       atomic_load_explicit(&threshold_now, memory_order_relaxed);
}

uint64_t
log_lost(void)
{
	return atomic_load_explicit(&lost, memory_order_relaxed);
}

/* The last octets are kept for a closing quote and the line end. */
#define ROOM_KEPT 2

static unsigned
room(const struct log_line *l)
{
	return LOG_LINE_MAX - ROOM_KEPT - l->len;
}

static void
put(struct log_line *l, const char *text, unsigned len)
{
	if (len > room(l)) {
		len = room(l);
	}
	memcpy(l->text + l->len, text, len);
	l->len += len;
}

static void
put_string(struct log_line *l, const char *text)
{
	put(l, text, (unsigned)strlen(text));
}

/* " key=", or false when there is no room for that and a short value. */
static bool
put_key(struct log_line *l, const char *key)
{
	size_t len = strnlen(key, LOG_LINE_MAX);

	if (len + 32 > room(l)) {
		return false;
	}
	l->text[l->len++] = ' ';
	put(l, key, (unsigned)len);
	l->text[l->len++] = '=';
	return true;
}

/* 1: stands as it is; 0: wants quotes; -1: wants an escape as well. */
static int
plain(unsigned char c)
{
	if (c < ' ' || c >= 0x7f || c == '"' || c == '\\') {
		return -1;
	}
	return c == ' ' || c == '=' || c == '\'' ? 0 : 1;
}

static bool
needs_quotes(const char *value, unsigned len)
{
	unsigned i;

	for (i = 0; i < len; i++) {
		if (plain((unsigned char)value[i]) != 1) {
			return true;
		}
	}
	return len == 0;
}

static unsigned
escape(unsigned char c, char out[4])
{
	static const char hex[] = "0123456789ABCDEF";

	out[0] = '\\';
	switch (c) {
	case '"':
	case '\\':
		out[1] = (char)c;
		return 2;
	case '\r':
		out[1] = 'r';
		return 2;
	case '\n':
		out[1] = 'n';
		return 2;
	case '\t':
		out[1] = 't';
		return 2;
	default:
		out[1] = 'x';
		out[2] = hex[c >> 4];
		out[3] = hex[c & 15];
		return 4;
	}
}

static void
put_escaped(struct log_line *l, const char *value, unsigned len)
{
	unsigned i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];
		char out[4] = { (char)c };
		unsigned n = plain(c) == -1 ? escape(c, out) : 1;

		if (n > room(l)) {
			return; /* never half an escape */
		}
		put(l, out, n);
	}
}

static void
put_value(struct log_line *l, const char *value, unsigned len)
{
	static const char cut[] = "...";
	bool too_long = len > LOG_VALUE_MAX;

	if (too_long) {
		len = LOG_VALUE_MAX - (unsigned)(sizeof(cut) - 1);
	}
	if (!too_long && len <= room(l) && !needs_quotes(value, len)) {
		put(l, value, len);
		return;
	}
	l->text[l->len++] = '"';
	put_escaped(l, value, len);
	if (too_long) {
		put_string(l, cut);
	}
	l->text[l->len++] = '"'; /* room was kept */
	if (l->len > LOG_LINE_MAX - ROOM_KEPT) {
		l->active = false;
	}
}

void
log_begin(struct log_line *l, enum log_level level, const char *event)
{
	static const char *const prio[] = { "<3>", "<4>", "<6>", "<7>" };
	static const char *const name[] = { " level=error", " level=warn",
		                            " level=info", " level=debug" };

	l->level = level;
	l->len = 0;
	l->active = log_enabled(level);
	if (!l->active) {
		return;
	}
	if (atomic_load_explicit(&journal_now, memory_order_relaxed)) {
		put(l, prio[level], 3);
		put(l, "event=", 6);
	} else {
		char now[CLOCK_TEXT_MAX];

		clock_rfc3339(clock_wall_ms(), now);
		put(l, "time=", 5);
		put_string(l, now);
		put_string(l, name[level]);
		put(l, " event=", 7);
	}
	put_value(l, event, (unsigned)strnlen(event, LOG_VALUE_MAX));
}

void
log_id(struct log_line *l, const char *key, uint64_t id)
{
	char text[ID_TEXT_MAX];

	if (!l->active || id == 0 || !put_key(l, key)) {
		return;
	}
	id_format(id, text);
	put(l, text, ID_TEXT_LEN);
}

void
log_strn(struct log_line *l, const char *key, const char *value, unsigned len)
{
	if (!l->active || value == NULL || !put_key(l, key)) {
		return;
	}
	put_value(l, value, len);
}

void
log_str(struct log_line *l, const char *key, const char *value)
{
	if (!l->active || value == NULL) {
		return;
	}
	log_strn(l, key, value, (unsigned)strnlen(value, LOG_VALUE_MAX + 1));
}

void
log_int(struct log_line *l, const char *key, int64_t value)
{
	char text[24];
	char *p = text + sizeof(text);
	uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	if (!l->active || !put_key(l, key)) {
		return;
	}
	do {
		*--p = (char)('0' + left % 10);
		left /= 10;
	} while (left != 0);
	if (value < 0) {
		*--p = '-';
	}
	put(l, p, (unsigned)(text + sizeof(text) - p));
}

static void put_format(struct log_line *l, const char *key, const char *fmt,
                       va_list ap) __attribute__((format(printf, 3, 0)));

static void
put_format(struct log_line *l, const char *key, const char *fmt, va_list ap)
{
	char text[LOG_VALUE_MAX + 2]; /* one more shows that it was cut */
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n >= 0) {
		log_strn(l, key, text, (unsigned)strlen(text));
	}
}

void
log_fmt(struct log_line *l, const char *key, const char *fmt, ...)
{
	va_list ap;

	if (!l->active) {
		return;
	}
	va_start(ap, fmt);
	put_format(l, key, fmt, ap);
	va_end(ap);
}

static ssize_t
send_line(const char *text, size_t len)
{
	int fd = atomic_load_explicit(&fd_now, memory_order_relaxed);
	int sink = atomic_load_explicit(&sink_now, memory_order_relaxed);
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (sink == SINK_SOCKET) {
		return send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	if (sink == SINK_POLL && poll(&p, 1, 0) != 1) {
		errno = EAGAIN;
		return -1;
	}
	return write(fd, text, len);
}

static void
write_lines(const char *text, size_t len, unsigned lines)
{
	ssize_t n;

	do {
		n = send_line(text, len);
	} while (n == -1 && errno == EINTR);
	if (n != (ssize_t)len) {
		atomic_fetch_add_explicit(&lost, lines, memory_order_relaxed);
	}
}

void
log_hold(void)
{
	held.on = true;
}

void
log_flush(void)
{
	int saved = errno;

	if (held.lines > 0) {
		write_lines(held.text, held.len, held.lines);
		held.len = 0;
		held.lines = 0;
		errno = saved;
	}
}

void
log_end(struct log_line *l)
{
	int saved = errno; /* logging an error must not change it */

	if (l->len == 0) {
		return;
	}
	l->text[l->len++] = '\n';
	if (held.lines > 0 && (l->level <= LOG_LEVEL_WARN ||
	                       held.len + l->len > sizeof(held.text))) {
		log_flush(); /* lines stay in order */
	}
	if (held.on && l->level > LOG_LEVEL_WARN) {
		memcpy(held.text + held.len, l->text, l->len);
		held.len += l->len;
		held.lines++;
	} else {
		write_lines(l->text, l->len, 1);
	}
	l->len = 0;
	l->active = false;
	errno = saved;
}

void
log_event(enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line l;
	va_list ap;

	if (!log_enabled(level)) {
		return;
	}
	log_begin(&l, level, event);
	va_start(ap, fmt);
	put_format(&l, "text", fmt, ap);
	va_end(ap);
	log_end(&l);
}
