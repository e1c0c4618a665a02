/* make.h: which stages there are. */
#ifndef HAYFORK_STAGES_MAKE_H
#define HAYFORK_STAGES_MAKE_H

#include "stages/stage.h"

/* What makes each kind. */
stage_maker stage_images_new;

/* In the order in which requests come through them; ends in NULL. */
extern stage_maker *const stage_makers[];

#endif
