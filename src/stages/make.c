/* make.c: which stages there are. */
#include "stages/make.h"

stage_maker *const stage_makers[] = {stage_images_new, NULL};
