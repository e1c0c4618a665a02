/* plan.c: sizes and parts of pictures, for each way to fit. */
#include "images/plan.h"

#include "unit/tap.h"

/* "WIDTHxHEIGHT+LEFT+TOP PARTxPART OUTxOUT+LEFT+TOP", of the parameters of a query. */
static const char *planned(const char *query, uint32_t width, uint32_t height)
{
    static char text[128];
    struct images_wish wish = {0};
    struct images_plan plan;
    while (*query != '\0') {
        size_t len = strcspn(query, "&"), name = strcspn(query, "=");
        images_params_set(&wish, (struct str){query, name}, (struct str){query + name + 1, len - name - 1});
        query += len + (query[len] == '&');
    }
    images_plan(&plan, &wish, width, height);
    snprintf(text, sizeof(text), "%ux%u+%u+%u %ux%u %ux%u+%u+%u%s", plan.width, plan.height, plan.left,
             plan.top, plan.part_width, plan.part_height, plan.out_width, plan.out_height, plan.out_left,
             plan.out_top, plan.chooses ? " chooses" : "");
    return text;
}

int main(void)
{
    static const struct {
        const char *query;
        uint32_t width, height;
        const char *plan;
    } cases[] = {
        {"", 360, 240, "360x240+0+0 360x240 360x240+0+0"},
        {"w=100", 360, 240, "100x67+0+0 100x67 100x67+0+0"},
        {"h=60", 360, 240, "90x60+0+0 90x60 90x60+0+0"},
        {"w=100&h=100", 240, 360, "67x100+0+0 67x100 67x100+0+0"},
        {"w=100&h=100&fit=crop", 360, 240, "150x100+25+0 100x100 100x100+0+0"},
        {"w=100&h=100&fit=crop&crop=right", 360, 240, "150x100+50+0 100x100 100x100+0+0"},
        {"w=100&h=100&fit=crop&crop=bottom", 240, 360, "100x150+0+50 100x100 100x100+0+0"},
        {"w=100&h=100&fit=crop&crop=entropy", 360, 240, "150x100+25+0 100x100 100x100+0+0 chooses"},
        {"w=180&h=120&fit=crop&crop=entropy", 360, 240, "180x120+0+0 180x120 180x120+0+0"},
        {"w=100&fit=crop", 360, 240, "100x67+0+0 100x67 100x67+0+0"},
        {"w=1000&fit=max", 360, 240, "360x240+0+0 360x240 360x240+0+0"},
        {"w=1000&h=10&fit=max", 360, 240, "15x10+0+0 15x10 15x10+0+0"},
        {"w=720&h=720&fit=min", 360, 240, "360x240+60+0 240x240 240x240+0+0"},
        {"w=720&h=100&fit=min", 360, 240, "360x240+0+95 360x50 360x50+0+0"},
        {"w=720&fit=min", 360, 240, "360x240+0+0 360x240 360x240+0+0"},
        {"w=10&h=500&fit=scale", 360, 240, "10x500+0+0 10x500 10x500+0+0"},
        {"w=100&h=100&fit=fill", 360, 240, "100x67+0+0 100x67 100x100+0+16"},
        {"w=100&fit=fill", 360, 240, "100x67+0+0 100x67 100x67+0+0"},
        {"w=50&dpr=2", 360, 240, "100x67+0+0 100x67 100x67+0+0"},
        {"w=1", 1, 65535, "1x65535+0+0 1x65535 1x65535+0+0"},
        {"w=1", 65535, 1, "1x1+0+0 1x1 1x1+0+0"},
        {"w=65535&h=65535&fit=crop", 1, 65535, "65535x16777216+0+8355840 65535x65535 65535x65535+0+0"},
        {"w=65535&dpr=5", 1, 1, "327675x327675+0+0 327675x327675 327675x327675+0+0"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        is_str(planned(cases[i].query, cases[i].width, cases[i].height), cases[i].plan, "%s of %ux%u",
               cases[i].query, cases[i].width, cases[i].height);
    return done_testing();
}
