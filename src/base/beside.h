/* beside.h: programs that come with this one. */
#ifndef HAYFORK_BASE_BESIDE_H
#define HAYFORK_BASE_BESIDE_H

/*
 * The path of a program by its name: beside this one, as where it was built, or where it was installed. The
 * caller frees it. Returns NULL where it is in neither place.
 */
char *beside_find(const char *name);

#endif
