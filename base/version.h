#ifndef SORTIE_BASE_VERSION_H
#define SORTIE_BASE_VERSION_H

/* Of both programs: they are built and installed together. */
#define SORTIE_VERSION "0.1"

#endif
