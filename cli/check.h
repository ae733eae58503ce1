#ifndef SORTIE_CLI_CHECK_H
#define SORTIE_CLI_CHECK_H

/*
 * "sortie check [-c FILE] [--dump]": tests a configuration file without a
 * daemon. Findings go to standard error as "FILE:LINE: reason", the effective
 * values (--dump) to standard output. argv[0] is the command's name; file is
 * what -c before the command named, or NULL for the default. Returns the exit
 * status: 0 good, 1 refused, 2 wrong usage.
 */
int check_run(const char *file, int argc, char **argv);

#endif
