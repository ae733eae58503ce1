#ifndef SORTIE_CONF_POLICY_PRIVATE_H
#define SORTIE_CONF_POLICY_PRIVATE_H

#include <stdbool.h>

#include "conf/conf.h"
#include "conf/load.h"

/*
 * Which policy types this version applies, and the loader with that table as
 * a parameter: the syntax of every type is tested before its effect exists.
 */

extern const bool conf_policy_built[CONF_POLICY_TYPES];
extern const char *const conf_policy_names[CONF_POLICY_TYPES];

struct conf *conf_load_built(const char *file, struct conf_findings *findings,
                             const bool built[CONF_POLICY_TYPES]);

#endif
