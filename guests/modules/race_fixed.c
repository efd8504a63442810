/* The counter of race.c with a lock. */
#define FIXED
#include "race.c"
