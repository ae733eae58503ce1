#ifndef SORTIE_DAEMON_LIMITS_H
#define SORTIE_DAEMON_LIMITS_H

#include <stdio.h>

/*
 * The table of limits and time-outs, for "sortied -T limits" and the manual:
 * settings with their defaults out of the schema, fixed bounds out of the
 * constants that hold them. Columns stand two blanks or more apart.
 */

int limits_print_table(FILE *out); /* -1: could not be written */

#endif
