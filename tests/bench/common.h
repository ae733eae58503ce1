#ifndef SORTIE_TESTS_BENCH_COMMON_H
#define SORTIE_TESTS_BENCH_COMMON_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * What the load generator and the sink share: a connection that is clear text
 * or TLS under epoll, the clock both ledgers use, numbers and percentiles.
 * Neither of them is a mail server: they are as cheap as they can be, so that
 * what stands between them is measured.
 */

#define ID_MAX 64 /* of a message id, terminated */

/* Monotonic microseconds, the same for all processes of the machine. */
int64_t now_us(void);

/* User and system time of this process in seconds. */
double cpu_seconds(void);

/*
 * The command line: "--name value" or, for a flag, "--name". One of the four
 * pointers says what kind it is and where it goes. Endpoints are IPv4 loopback
 * addresses with a port. Any mistake prints why and ends with status 2.
 */
struct setting {
	const char *name;
	long *number;
	long min;
	long max;
	const char **text; /* borrowed from argv */
	bool *flag;
	struct sockaddr_in *endpoint;
};

void settings_parse(const struct setting *table, size_t n, const char *usage,
                    int argc, char **argv);

void die(const char *what) __attribute__((noreturn));
void *must(void *allocated) __attribute__((returns_nonnull));

/* What the generator sends from the Content-Type field to the final dot: size
 * octets of plain text, or half of them as HTML. malloc'ed. */
char *message_body(size_t size, bool alternative, size_t *len_r);

/* Is the text, of at most FIND_MAX octets, in a content that comes in pieces?
 * Zero at its begin. */
#define FIND_MAX 64

struct finder {
	bool found;
	char behind[FIND_MAX]; /* the last octets so far */
	size_t behind_len;
};

void finder_put(struct finder *f, const char *text, const char *data,
                size_t len);

/* FNV-1a: a set of ids holds hashes, a body is compared by one. */
#define HASH_START 0xcbf29ce484222325u
uint64_t hash_bytes(uint64_t h, const char *data, size_t len);

/* Microseconds, one per message. */
struct samples {
	uint32_t *value;
	size_t n;
	size_t cap;
};

void samples_add(struct samples *s, int64_t us);
void samples_sort(struct samples *s);
/* Milliseconds at a rank of 0 to 1; 0 when empty. Sorted first. */
double samples_rank_ms(const struct samples *s, double rank);

/*
 * One end of a connection. Input is a contiguous window, output a growing
 * buffer and behind it a borrowed constant piece (the body that all messages
 * share), so that a message costs one system call and no copy.
 */
struct link {
	int fd;
	int epoll;
	uint32_t events; /* what the epoll instance was told */
	SSL *ssl;        /* owned; NULL while in clear text */
	bool filled;     /* the last read left nothing of the window */
	char *in;
	size_t in_cap;
	size_t in_start;
	size_t in_end;
	char *out;
	size_t out_cap;
	size_t out_start;
	size_t out_end;
	const char *tail; /* borrowed */
	size_t tail_len;
};

enum link_state {
	LINK_OK = 0,
	LINK_WAIT,   /* nothing to read, or not everything written yet */
	LINK_CLOSED, /* by the peer, or broken */
};

/* Buffers live as long as l; open may be called again after close. */
void link_init(struct link *l, int epoll, size_t in_cap);
/* Registers fd with owner as the event's pointer. */
void link_open(struct link *l, int fd, void *owner);
void link_close(struct link *l);

/* Reads what fits into the window. */
enum link_state link_fill(struct link *l);
/* After LINK_OK: may there be more that epoll will not tell about? */
bool link_more(const struct link *l);
/* The next line without its line end; consumed. False: none complete. */
bool link_line(struct link *l, char **line_r, size_t *len_r);

void link_put(struct link *l, const void *data, size_t len);
void link_puts(struct link *l, const char *text);
/* Writes; asks epoll for room when something is left. */
enum link_state link_flush(struct link *l, void *owner);

/* Starts a handshake as the client or the server. */
void link_tls(struct link *l, SSL_CTX *ctx, bool server);
enum link_state link_handshake(struct link *l, void *owner);

/* TLS 1.2 or later. A server needs certificate and key; a client verifies
 * when ca_file is given. Ends the program on failure. */
SSL_CTX *tls_context(bool server, const char *cert, const char *key,
                     const char *ca_file);

#endif
