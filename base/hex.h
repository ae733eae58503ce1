#ifndef SORTIE_BASE_HEX_H
#define SORTIE_BASE_HEX_H

/* Values of hexadecimal digits; -1: c is none. */

/* HEXDIG of RFC 5234: "A" to "F" only, as xtext has it (RFC 3461). */
static inline int
hex_upper_value(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In either case. */
static inline int
hex_value(char c)
{
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : hex_upper_value(c);
}

#endif
