/* make.c: which stages there are. */
#include "stages/make.h"

stage_maker *const stage_makers[] = {NULL};
