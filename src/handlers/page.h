/* page.h: the files of the operators' page, which make puts into the program from src/handlers/page/. */
#ifndef HAYFORK_HANDLERS_PAGE_H
#define HAYFORK_HANDLERS_PAGE_H

#include <stddef.h>

struct page_file {
    const char *path; /* that it is asked for by */
    const char *type; /* its Content-Type */
    const char *text; /* ends with NUL, too */
    size_t len;
};

/* The HTML, with the places that handlers/status_page.c fills in; and what that names. */
extern const struct page_file page_html, page_css, page_js, page_svg;

#endif
