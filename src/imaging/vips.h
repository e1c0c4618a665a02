/* vips.h: makes pictures, by libvips. */
#ifndef HAYFORK_IMAGING_VIPS_H
#define HAYFORK_IMAGING_VIPS_H

#include "helpers/serve.h"

/*
 * Loads the library, and what it loads only when it is used: the process opens no file later. To be called
 * once, before there is any job. Ends the process where it cannot.
 */
void imaging_begin(void);

/* Does a job (images/job.h); for struct helpers_service. */
size_t imaging_work(const struct helpers_call *call, void *answer, size_t size);

#endif
